#pragma once

#include <precis/kernel/dispatch_level.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/lanes_avx2.hpp>
#include <precis/kernel/lanes_avx512.hpp>
#include <precis/kernel/lanes_neon.hpp>
#include <precis/kernel/lanes_scalar.hpp>
#include <precis/kernel/lanes_sse.hpp>
#include <precis/kernel/multiply.hpp>

// Everything that a level includes: headers other than the kernels must not be compiled for the instructions of a level.
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#if PRECIS_SSE2
#include <immintrin.h>
#endif

// NOLINTNEXTLINE(bugprone-macro-parentheses): a header
#define PRECIS_LEVEL_BODY <precis/kernel/level_kernels.hpp>
#define PRECIS_LEVELS levels::PRECIS_FLAGS
#include <precis/kernel/every_level.hpp>
#undef PRECIS_LEVELS
#undef PRECIS_LEVEL_BODY

/// The kernels, compiled for several instruction sets in one translation unit, of which each call runs the widest that the
/// processor has. The functions are those of multiply.hpp and float_product.hpp, with the same results.
///
///     #include <precis/kernel/dispatch.hpp>
///     namespace dispatch = precis::dispatch;
///     dispatch::input_vectors<std::int8_t> x(tokens, input_workspace);
///     dispatch::multiply<kernel::formats<four_bits>>(m, x, y, workspace);
///
/// Cost    compilation: up to six times that of the kernels that are used, so list the formats. A call: one branch.
namespace precis::dispatch {

inline namespace PRECIS_FLAGS {

namespace detail {

/// Calls f(the kernels of a level).
template<class F>
decltype(auto) at_level(level l, F&& f) noexcept {
  namespace all = levels::PRECIS_FLAGS;
  switch (l) {  // NOLINT(bugprone-branch-clone): each calls another copy of the kernels
#if PRECIS_FLAGS_LEVEL < 1
    case level::sse4: return f(all::sse4::kernel::level_kernels{});
#endif
#if PRECIS_FLAGS_LEVEL < 2
    case level::avx2: return f(all::avx2::kernel::level_kernels{});
#endif
#if PRECIS_FLAGS_LEVEL < 3
    case level::avx_vnni: return f(all::avx_vnni::kernel::level_kernels{});
#endif
#if PRECIS_FLAGS_LEVEL < 4
    case level::avx512: return f(all::avx512::kernel::level_kernels{});
#endif
#if PRECIS_FLAGS_LEVEL < 5
    case level::avx512_vnni: return f(all::avx512_vnni::kernel::level_kernels{});
#endif
#if PRECIS_FLAGS_LEVEL == 5 && defined(__aarch64__)
    case level::dotprod: return f(all::dotprod::kernel::level_kernels{});
#endif
    default: return f(all::baseline::kernel::level_kernels{});
  }
}

/// The types of a level are copies of the kernels' own.
template<class Kernels>
[[nodiscard]] typename Kernels::matrix matrix_of(const kernel::packed_matrix& m) noexcept {
  return std::bit_cast<typename Kernels::matrix>(m);
}
template<class Kernels>
[[nodiscard]] typename Kernels::range range_of(const kernel::row_range& rows) noexcept {
  return {rows.first, rows.last};
}
template<class Kernels, class Formats>
struct formats_of;
template<class Kernels, kernel::packed_format... F>
struct formats_of<Kernels, kernel::formats<F...>> {
  using type = typename Kernels::template list<std::bit_cast<typename Kernels::format>(F)...>;
};

}  // namespace detail

/// Floats of workspace, as the functions of the kernels return them.
template<class Value>
[[nodiscard]] std::size_t input_workspace(std::size_t vectors, std::size_t in) noexcept {
  return levels::PRECIS_FLAGS::baseline::kernel::level_kernels::input_workspace<Value>(vectors, in);
}
template<class Value>
[[nodiscard]] std::size_t multiply_workspace(const kernel::packed_matrix& m, std::size_t vectors) noexcept {
  using kernels = levels::PRECIS_FLAGS::baseline::kernel::level_kernels;
  return kernels::multiply_workspace<Value>(detail::matrix_of<kernels>(m), vectors);
}
[[nodiscard]] inline std::size_t vector_workspace(const kernel::packed_matrix& m) noexcept {
  return dispatch::input_workspace<float>(1, m.in) + dispatch::multiply_workspace<float>(m, 1);
}

/// kernel::input_vectors. It keeps the level that is current when it is constructed.
template<class Value>
class input_vectors {
 public:
  input_vectors(kernel::strided<const float> x, std::span<float> workspace) noexcept : level_(current()) {
    detail::at_level(level_, [&]<class Kernels>(Kernels) {
      using vectors = typename Kernels::template vectors<Value>;
      static_assert(sizeof(vectors) == sizeof vectors_ && std::is_trivially_copyable_v<vectors>);
      ::new (static_cast<void*>(vectors_)) vectors(x, workspace);
    });
  }

  [[nodiscard]] level of_level() const noexcept { return level_; }
  void prepare(const kernel::packed_matrix& m) noexcept {
    detail::at_level(level_, [&]<class Kernels>(Kernels) { as<Kernels>().prepare(detail::matrix_of<Kernels>(m)); });
  }
  /// The object of the level whose kernels are given.
  template<class Kernels>
  [[nodiscard]] auto& as() noexcept {
    return *std::launder(reinterpret_cast<typename Kernels::template vectors<Value>*>(vectors_));
  }

 private:
  level level_;
  alignas(kernel::input_vectors<Value>) std::byte vectors_[sizeof(kernel::input_vectors<Value>)];
};

/// Y = X m^T, as kernel::multiply.
template<class Formats = kernel::formats<>, class Value>
void multiply(const kernel::packed_matrix& m, input_vectors<Value>& x, kernel::strided<float> y,
              std::span<float> workspace, kernel::row_range rows = {}) noexcept {
  detail::at_level(x.of_level(), [&]<class Kernels>(Kernels) {
    Kernels::template multiply<typename detail::formats_of<Kernels, Formats>::type>(
        detail::matrix_of<Kernels>(m), x.template as<Kernels>(), y, workspace, detail::range_of<Kernels>(rows));
  });
}

/// y = m x for one vector of floats, as kernel::multiply.
template<class Formats = kernel::formats<>>
void multiply(const kernel::packed_matrix& m, std::span<const float> x, std::span<float> y, std::span<float> workspace,
              kernel::row_range rows = {}) noexcept {
  detail::at_level(current(), [&]<class Kernels>(Kernels) {
    Kernels::template multiply<typename detail::formats_of<Kernels, Formats>::type>(
        detail::matrix_of<Kernels>(m), x, y, workspace, detail::range_of<Kernels>(rows));
  });
}

/// Decodes one row, as kernel::decode_row.
template<class = void>  // a template: compiled only where it is called
void decode_row(const kernel::packed_matrix& m, std::size_t row, std::span<float> x) noexcept {
  detail::at_level(current(), [&]<class Kernels>(Kernels) {
    Kernels::template decode_row<>(detail::matrix_of<Kernels>(m), row, x);
  });
}

/// c = start + a b for floats, as kernel::product_onto.
template<class = void>
void product_onto(kernel::strided<const float> start, kernel::strided<const float> a, kernel::strided<const float> b,
                  kernel::strided<float> c, std::span<float> workspace) noexcept {
  detail::at_level(current(),
                   [&]<class Kernels>(Kernels) { Kernels::template product_onto<>(start, a, b, c, workspace); });
}

}  // namespace PRECIS_FLAGS

}  // namespace precis::dispatch
