#include <precis/multiply.hpp>

#include <precis/codec.hpp>
#include <precis/core/random.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cmath>
#include <string>
#include <vector>

using namespace precis;

namespace {

/// Two matrices in blocks of their own.
struct two_matrices {
  std::vector<matrix_info> infos{{"b0.up", 0, part::mlp, 40, 64}, {"b1.up", 1, part::mlp, 24, 96}};
  std::vector<float_matrix> values{float_matrix(40, 64), float_matrix(24, 96)};

  two_matrices() {
    const random_stream random(3, 1);
    std::size_t drawn = 0;
    for (float_matrix& m : values)
      for (float& w : m.values) w = static_cast<float>(random.normal(drawn++));
  }
  std::span<const matrix_info> matrices() const { return infos; }
  weight_view weights(std::size_t i) const { return values[i].view(); }
};

/// A user's codec: signs with one scale, and a product of its own.
struct signs {
  static constexpr bool keeps_zero = false;
  static std::string name() { return "signs"; }
  static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return out * in; }
  static void encode(weight_view w, std::span<std::byte> packed) {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) packed[r * w.cols + c] = w(r, c) < 0 ? std::byte{1} : std::byte{0};
  }
  static void decode(std::span<const std::byte> packed, mutable_weight_view w) {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) w(r, c) = packed[r * w.cols + c] == std::byte{1} ? -1.f : 1.f;
  }
  static std::size_t workspace(std::size_t, std::size_t in) { return in; }
  static void multiply(std::span<const std::byte> packed, std::size_t out, std::size_t in, std::span<const float> x,
                       std::span<float> y, std::span<float> workspace) {
    std::copy(x.begin(), x.end(), workspace.begin());
    for (std::size_t r = 0; r < out; ++r) {
      y[r] = 0;
      for (std::size_t c = 0; c < in; ++c) y[r] += packed[r * in + c] == std::byte{1} ? -workspace[c] : workspace[c];
    }
  }
};
/// One without a product.
struct mute : signs {
  static std::string name() { return "mute"; }
  static void multiply() = delete;
};

plan by_block(std::string first, std::string second) {
  return {.model = "",
          .units = unit_kind::block,
          .notes = {},
          .choices = {{.unit = "block.0", .codec = std::move(first), .sparsity = 0, .rank = 0},
                      {.unit = "block.1", .codec = std::move(second), .sparsity = 0, .rank = 0}}};
}

template<class Menu>
void check_menu(const plan& p) {
  const two_matrices model;
  const packed_model packed = pack<Menu>(model, p);
  for (const encoded_matrix& m : packed.matrices) {
    CAPTURE(m.choice.codec);
    CHECK(reinterpret_cast<std::uintptr_t>(m.bytes.data()) % 64 == 0);
    float_matrix decoded(m.choice.out, m.choice.in);
    Menu::decode(m.choice.entry, m.bytes, decoded.view());
    std::vector<float> x(m.choice.in), y(m.choice.out), workspace(multiply_workspace<Menu>(m));
    for (std::size_t c = 0; c < x.size(); ++c) x[c] = static_cast<float>(c % 7) - 3;
    multiply<Menu>(m, x, y, workspace);
    for (std::size_t r = 0; r < y.size(); ++r) {
      double sum = 0;
      for (std::size_t c = 0; c < x.size(); ++c) sum += static_cast<double>(decoded(r, c)) * static_cast<double>(x[c]);
      CHECK(std::abs(static_cast<double>(y[r]) - sum) < 1e-3);
    }
  }
}

}  // namespace

TEST_CASE("what pack returns multiplies itself: a menu of types", "[multiply][property]") {
  check_menu<menu<codec::affine<4, 32>, codec::codebook<3>>>(by_block("affine4.g32", "codebook3.tensor"));
  check_menu<menu<codec::q4_0, codec::affine<4, 20>>>(by_block("affine4.g20", "q4_0"));
  check_menu<menu<codec::low_rank<50, codec::float16>>>(by_block("rank50.float16", "rank50.float16"));
}

TEST_CASE("what pack returns multiplies itself: the standard menu", "[multiply][property]") {
  check_menu<codec::standard>(by_block("e4m3.row", "keep2of4.symmetric4.g32"));
}

TEST_CASE("a user's codec with a product runs packed, beside one of the library", "[multiply][property]") {
  check_menu<menu<signs, codec::affine<4, 32>>>(by_block("signs", "affine4.g32"));
  check_menu<menu<signs>>(by_block("signs", "signs"));
  static_assert(is_multiplied<signs> && !is_multiplied<mute>);
}

TEST_CASE("a matrix is found by its name, and one without a format is refused by name", "[pack]") {
  const two_matrices model;
  const packed_model packed = pack<menu<mute, codec::float16>>(model, by_block("mute", "float16"));
  CHECK(packed["b1.up"].view().out == 24);
  CHECK(refusal([&] { (void)packed["b2.up"]; }).find("b2.up") != std::string::npos);
  CHECK(refusal([&] { (void)packed["b0.up"].view(); }).find("mute") != std::string::npos);
}
