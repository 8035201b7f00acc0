#if !defined(PRECIS_KERNEL_BITMAP_PRODUCT)
#define PRECIS_KERNEL_BITMAP_PRODUCT

#include <precis/kernel/expanded_product.hpp>
#include <precis/kernel/ieee.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// A non-owning view of a sparse matrix whose bitmap says which weights are kept; the kept weights follow each other
/// row by row.
template<class Values>
struct packed_bitmap {
  const std::byte* bits = nullptr;  ///< [out x ceil(in / 8)]: column c of a row is bit c mod 8 of byte c / 8
  Values values;                    ///< [1 x number of bits that are set]
  std::size_t out = 0;
  std::size_t in = 0;
};
using packed_bitmap_dense = packed_bitmap<dense_matrix>;
using packed_bitmap_grid = packed_bitmap<packed_grid>;

namespace detail {

[[nodiscard]] inline std::size_t bits_set(const std::byte* bytes, std::size_t count) noexcept {
  std::size_t set = 0, i = 0;
  for (; i + 8 <= count; i += 8) {
    std::uint64_t eight_bytes;
    __builtin_memcpy(&eight_bytes, bytes + i, 8);
    set += static_cast<std::size_t>(std::popcount(eight_bytes));
  }
  for (; i < count; ++i) set += static_cast<std::size_t>(std::popcount(static_cast<unsigned>(bytes[i])));
  return set;
}

/// The columns that a bitmap keeps, sixteen at a time.
class bitmap_places {
 public:
  template<class Values>
  bitmap_places(const packed_bitmap<Values>& m, std::size_t row) noexcept
      : bits_(m.bits + row * bytes_of_row(m.in)), row_bytes_(bytes_of_row(m.in)) {}

  void start_row() noexcept { at_ = 0; }
  [[nodiscard]] unsigned next() noexcept {
    auto kept = static_cast<unsigned>(bits_[at_]);
    if (at_ + 1 < row_bytes_) kept |= static_cast<unsigned>(bits_[at_ + 1]) << 8;
    at_ += 2;
    return kept;
  }
  void end_row() noexcept { bits_ += row_bytes_; }

  [[nodiscard]] static constexpr std::size_t bytes_of_row(std::size_t in) noexcept { return in / 8 + (in % 8 != 0); }

 private:
  const std::byte* bits_;
  std::size_t row_bytes_, at_ = 0;
};

template<class Values>
struct expansion<packed_bitmap<Values>> {
  [[nodiscard]] static constexpr std::size_t rows(const packed_bitmap<Values>& m) noexcept { return m.out; }
  template<class Code, class F>
  static void from(const packed_bitmap<Values>& m, std::size_t row, F&& body) noexcept {
    with_stream<Code>(m.values, 0, bits_set(m.bits, row * bitmap_places::bytes_of_row(m.in)),
                      [&](const auto& values) { body(bitmap_places(m, row), values); });
  }
};

}  // namespace detail

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_BITMAP_PRODUCT
