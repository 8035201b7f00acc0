#include <precis/kernel/bitmap_product.hpp>

#include <precis/codec/sparse.hpp>
#include <precis/codec/symmetric.hpp>

#include "catch.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace precis;
using namespace precis::kernel;

TEST_CASE("matvec of a bitmap by hand", "[kernel][bitmap][worked-example]") {
  // Half of the weights are kept: 3 and -7 of the first four, 1 and 2 of the others; symmetric4 with scale 1.
  const std::vector<float> w{0, 3, 0, -7, 1, 0, 2, 0}, x{10, 20, 30, 40, 50, 60, 70, 80};
  std::vector<float> y(1);
  using codec_type = codec::bitmap<50, codec::symmetric<4, per_tensor>>;
  std::vector<std::byte> packed(codec_type::bytes(1, 8));
  codec_type::encode({w, 1, 8}, packed);
  CHECK(packed[0] == std::byte{0b0101'1010});
  matvec(packed_bitmap_grid{packed.data(), {codec::symmetric<4, per_tensor>::format, packed.data() + 1, 1, 4}, 1, 8}, x,
         y);
  CHECK(y == std::vector<float>{60 - 280 + 50 + 140});
}

TEST_CASE("a bitmap's row starts after the bits of the rows before it", "[kernel][bitmap][worked-example]") {
  // 3 rows of 9 columns take 2 bytes each: 9, 0 and 2 weights are kept, so row 2 starts at value 9.
  const std::byte bits[6] = {std::byte{0xff}, std::byte{1}, std::byte{0}, std::byte{0}, std::byte{2}, std::byte{1}};
  std::vector<std::byte> values(11 * 4);
  for (std::size_t i = 0; i < 11; ++i)
    put_word32(std::bit_cast<std::uint32_t>(static_cast<float>(i + 1)), &values[4 * i]);
  const packed_bitmap_dense m{bits, {dense_type::float32, values.data(), 1, 11}, 3, 9};
  std::vector<float> row(9);
  decode_row(m, 2, row);
  CHECK(row == std::vector<float>{0, 10, 0, 0, 0, 0, 0, 0, 11});
  decode_row(m, 1, row);
  CHECK(row == std::vector<float>(9));
}
