#if !defined(PRECIS_KERNEL_FMA_CHAINS)
#define PRECIS_KERNEL_FMA_CHAINS

#include <precis/kernel/code_values.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <array>
#include <cstddef>
#include <type_traits>

/// Chains of fused multiply-adds on lanes that have no instruction for them.
namespace precis::kernel::detail {
PRECIS_IEEE_BEGIN

/// Whether the lanes sum chains faster than fma by fma.
template<class Lanes>
concept has_chains = requires(const float* p) { Lanes::two(p); };

/// sums[v] = fma(w, x, sums[v]) for `steps` steps of four vectors, whose sums are `sums_step` floats apart. Vector v of step s
/// is multiplied by the elements of x from s * x_step + v * x_each on: as many as there are lanes, or, if Same, one that is
/// stored twice. With the check for small sums, products are below 2^exponent.
template<class Lanes, auto Check, bool Same, class X>
void add_products(const float* w, std::size_t w_step, const X* x, std::size_t x_step, std::size_t x_each,
                  std::size_t steps, float* sums, std::size_t sums_step, int exponent = 0) noexcept {
  typename Lanes::template chains<Check> chain(sums, sums_step);
  for (std::size_t s = 0; s < steps; ++s)
    for_constants<4>([&](auto v) PRECIS_INLINE_LAMBDA {
      // As wide as they may have been stored: a load of a part waits for the store.
      const auto weight = Lanes::load(w + s * w_step + 4 * v);
      const X* const at = x + s * x_step + v * x_each;
      if constexpr (std::is_same_v<X, float>)
        chain.template add<v>(weight, at);
      else
        chain.template add<v, Same>(weight, at);
    });
  if (chain.exact(exponent)) [[likely]] {
    for_constants<4>([&](auto v) PRECIS_INLINE_LAMBDA { Lanes::store(sums + v * sums_step, chain.template sum<v>()); });
    return;
  }
  for_constants<4>([&](auto v) PRECIS_TARGET {
    if (chain.template exact<v>(exponent)) return Lanes::store(sums + v * sums_step, chain.template sum<v>());
    auto sum = Lanes::load(sums + v * sums_step);
    for (std::size_t s = 0; s < steps; ++s) {
      const X* const at = x + s * x_step + v * x_each;
      const auto columns = Lanes::template four<Same>(at);
      sum = Lanes::fma(Lanes::load(w + s * w_step + 4 * v), columns, sum);
    }
    Lanes::store(sums + v * sums_step, sum);
  });
}

/// Codes of 2, 4 and 8 bits: every byte of a block is an index of a table of the values of each of its codes.
template<unsigned Bits>
inline constexpr bool bytes_of_codes = 8 % Bits == 0;
/// The values of the codes in every byte, one table for each position of a code; of codes in bytes of their own otherwise.
template<unsigned Bits>
using level_table = std::array<double, bytes_of_codes<Bits> ? std::size_t{256} * (8 / Bits) : std::size_t{1} << Bits>;
template<unsigned Bits, class F>
[[nodiscard]] constexpr level_table<Bits> levels_of(F&& value) noexcept {
  level_table<Bits> all{};
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = value(bytes_of_codes<Bits> ? i % 256 >> (i / 256 * Bits) & ((1u << Bits) - 1u) : i);
  return all;
}

/// (lane[0] + lane[1]) + (lane[2] + lane[3]), lane[j] = fma(level of the code, x, lane[j]) over the columns 4 k + j of
/// `blocks` blocks and the tail in order, whose products are below 2^exponent. Returns false if a sum may need to be
/// computed with fma. `twice`: each element of x twice. The rows' tables are `step` apart; they are level_tables if they
/// hold doubles. `tail`: `quads` vectors of four codes, one per byte.
template<class Code, unsigned Bits, auto Check, bool Integers, class T>
[[nodiscard]] bool add_level_chains(const std::byte* rows, std::size_t blocks, const double* twice, const T* table,
                                    std::size_t step, int exponent, typename Code::floats::vector& product,
                                    const std::byte* tail = nullptr, std::size_t quads = 0) noexcept {
  using lanes = typename Code::floats;
  typename lanes::template chains<Check> chain;
  const std::byte* const block[1] = {rows};
  for (std::size_t b = 0, offset = 0; b < blocks; ++b, offset += Bits * word_stride, twice += 2 * block_columns)
    if constexpr (bytes_of_codes<Bits> && (Bits == 8 || std::is_same_v<T, double>))
      for_constants<Bits>([&](auto w) PRECIS_INLINE_LAMBDA {
        for_constants<8 / Bits>([&](auto i) PRECIS_INLINE_LAMBDA {
          Code::add_levels(chain, rows + offset + w * word_stride, table + 256 * i, step,
                           twice + 8 * (w * (8 / Bits) + i));
        });
      });
    else
      each_codes<Code, Bits, false>(
          block, offset, [](auto) {},
          [&](auto k, auto, typename Code::words codes) PRECIS_INLINE_LAMBDA {
            if constexpr (Integers)
              Code::template add_numbers<Bits>(chain, codes, twice + 8 * k);
            else
              Code::add_levels(chain, codes, table, step, twice + 8 * k);
          });
  for (std::size_t k = 0; k < quads; ++k) {
    const typename Code::words codes = Code::load(tail + k * word_stride);
    if constexpr (Integers)
      Code::template add_numbers<Bits>(chain, codes, twice + 8 * k);
    else
      Code::add_levels(chain, codes, table, step, twice + 8 * k);
  }
  product = lanes::add(lanes::add(chain.template sum<0>(), chain.template sum<1>()),
                       lanes::add(chain.template sum<2>(), chain.template sum<3>()));
  return chain.exact(exponent);
}

PRECIS_IEEE_END
}  // namespace precis::kernel::detail

#endif  // PRECIS_KERNEL_FMA_CHAINS
