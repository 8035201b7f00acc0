#include <precis/kernel/blocks/repack_blocks.hpp>

#include <precis/core/random.hpp>
#include <precis/kernel/multiply.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

using namespace precis::kernel;

namespace {

/// Blocks of random bytes whose halves are finite.
std::vector<std::byte> random_blocks(block_type type, std::size_t out, std::size_t in) {
  const block_layout l = layout_of(type);
  std::vector<std::byte> bytes(out * in / l.weights * l.bytes);
  const precis::random_stream random(7, precis::purpose("blocks"));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(random.uniform(i) * 256);
  with_block(type, [&]<class Block>(Block) {
    for (std::size_t at = 0; at < bytes.size(); at += Block::bytes) {
      if constexpr (requires { Block::scale; }) bytes[at + Block::scale + 1] &= std::byte{0xBF};
      if constexpr (requires { Block::minimum; }) bytes[at + Block::minimum + 1] &= std::byte{0xBF};
    }
  });
  return bytes;
}

constexpr block_type repacked[] = {block_type::q4_k, block_type::q5_k, block_type::q6_k};

}  // namespace

TEST_CASE("repack_blocks @post: every weight keeps its bits", "[kernel][blocks][property]") {
  for (const block_type type : repacked)
    for (const std::size_t out : {1u, 16u, 35u}) {
      constexpr std::size_t in = 512;
      CAPTURE(layout_of(type).name, out);
      const std::vector<std::byte> blocks = random_blocks(type, out, in);
      const packed_blocks m{type, blocks.data(), out, in};
      REQUIRE(scales_are_finite(m));
      const grid_format grid = grid_of(type).value();
      std::vector<std::byte> packed(grid.layout_of(out, in).bytes);
      repack_blocks(m, packed.data());
      std::vector<float> expected(in), found(in);
      for (std::size_t r = 0; r < out; ++r) {
        decode_row(packed_matrix{type, blocks.data(), out, in}, r, expected);
        decode_row(packed_matrix{grid, packed.data(), out, in}, r, found);
        REQUIRE(std::memcmp(expected.data(), found.data(), in * sizeof(float)) == 0);
      }
    }
}

TEST_CASE("repack_blocks: the product is that of the blocks, within the rounding of sums", "[kernel][blocks][oracle]") {
  constexpr std::size_t out = 20, in = 768;
  const precis::random_stream random(8, precis::purpose("blocks"));
  std::vector<float> x(in);
  for (std::size_t i = 0; i < in; ++i) x[i] = static_cast<float>(random.normal(i));
  for (const block_type type : repacked) {
    CAPTURE(layout_of(type).name);
    const std::vector<std::byte> blocks = random_blocks(type, out, in);
    std::vector<std::byte> packed(grid_of(type)->layout_of(out, in).bytes);
    repack_blocks(packed_blocks{type, blocks.data(), out, in}, packed.data());
    const packed_matrix m{*grid_of(type), packed.data(), out, in};
    std::vector<float> y(out), workspace(vector_workspace(m)), row(in);
    multiply(m, x, y, workspace);
    for (std::size_t r = 0; r < out; ++r) {
      decode_row(packed_matrix{type, blocks.data(), out, in}, r, row);
      double sum = 0, size = 0;
      for (std::size_t i = 0; i < in; ++i) {
        const double product = static_cast<double>(row[i]) * static_cast<double>(x[i]);
        sum += product;
        size += std::abs(product);
      }
      // A minimum is multiplied with the sum of inputs, so that terms of its size cancel.
      CHECK(std::abs(static_cast<double>(y[r]) - sum) < 1e-4 * size);
    }
  }
}
