#pragma once

#include <precis/kernel/packed_format.hpp>

#include <cstddef>
#include <span>

/// One product, by code that is compiled in several ways. The data are in a struct of its own and not in types of precis,
/// because the translation units have different flags.
namespace subjects {

struct product {
  unsigned bits = 0;  ///< of codes; 32: floats
  bool bytes = false;
  const std::byte* packed = nullptr;
  std::size_t out = 0;
  std::size_t in = 0;
  std::span<const float> x;
  std::span<float> y;
  std::span<float> workspace;
};

[[nodiscard]] constexpr precis::kernel::packed_format format_of(unsigned bits) noexcept {
  if (bits == 32) return precis::kernel::dense_type::float32;
  return precis::kernel::grid_format{.rule = precis::kernel::grid_rule::symmetric_full,
                                     .code_bits = bits,
                                     .group = 64,
                                     .scales = precis::kernel::scale_type::float16};
}

// plain.cpp, compiled with the instructions of every 64-bit x86 processor.
void by_dispatch(const product& p);    ///< precis/kernel/dispatch.hpp
void by_baseline(const product& p);    ///< the kernels without dispatch
void by_float_loop(const product& p);  ///< y[r] += w[r][c] x[c], with w at `packed`
[[nodiscard]] const char* level_name();

}  // namespace subjects
