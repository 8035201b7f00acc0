// Compiled without -march=native, whatever the other tests are compiled with (tests/CMakeLists.txt).

#include <precis/kernel/dispatch.hpp>

#include <precis/codec.hpp>
#include <precis/kernel/lanes_scalar.hpp>
#include <precis/kernel/matvec.hpp>

#include "dispatch/other_flags.hpp"
#include "packed.hpp"

#include "catch.hpp"

#include <optional>
#include <string>

using namespace precis;
using namespace packed_tests;

namespace {

using dispatch::level;

constexpr level every_level[] = {level::baseline, level::sse4,        level::avx2,   level::avx_vnni,
                                 level::avx512,   level::avx512_vnni, level::dotprod};

/// Calls f(level) for every level that this processor supports, while it is in use.
template<class F>
void at_every_level(F&& f) {
  for (const level l : every_level)
    if (dispatch::supports(l)) {
      dispatch::use(l);
      f(l);
    }
  dispatch::use(dispatch::best());
}

constexpr packed_format grid(unsigned bits, grid_rule rule = grid_rule::symmetric) {
  return grid_format{.rule = rule, .code_bits = bits, .group = 32};
}
// Kernels of every kind: powers of two as codes, bit planes of one to three widths, codes of several bytes, small floats
// with and without an exponent. Those of the other widths are compiled from the same templates.
using grids = formats<grid(2), grid(3), grid(4), grid(7), grid(8), grid(16), grid(8, grid_rule::e4m3),
                      grid(4, grid_rule::e2m1), grid(4, grid_rule::log_sqrt2)>;

template<class Formats, class Value>
std::vector<float> dispatched(const packed_matrix& m, const std::vector<float>& x, std::size_t n) {
  std::vector<float> input(dispatch::input_workspace<Value>(n, m.in)), y(n * m.out, -77.f);
  std::vector<float> workspace(dispatch::multiply_workspace<Value>(m, n));
  dispatch::input_vectors<Value> vectors({x.data(), n, m.in, static_cast<std::ptrdiff_t>(m.in), 1}, input);
  vectors.prepare(m);
  dispatch::multiply<Formats>(m, vectors, {y.data(), n, m.out, static_cast<std::ptrdiff_t>(m.out), 1}, workspace);
  return y;
}

/// By the lanes that define the result.
template<class Value>
std::vector<float> defined(const packed_grid& m, std::span<const float> x) {
  const std::size_t segment = segment_of(m.format, m.in);
  std::vector<float> y(m.out), workspace(byte_activation_workspace(m.in, segment) + m.in + segment);
  if constexpr (std::is_same_v<Value, float>)
    matvec<scalar_code_lanes>(m, as_floats<scalar_lanes>(x, segment, workspace), y);
  else
    matvec<scalar_code_lanes>(m, as_bytes<scalar_code_lanes>(x, segment, workspace), y);
  return y;
}

template<class Value>
void check_grid(const grid_format& f, std::size_t out, std::size_t in) {
  constexpr std::size_t n = 4;
  const auto packed = packed_of(f, out, in);
  const auto x = normal(n * in, 7);
  std::vector<float> expected;
  for (std::size_t i = 0; i < n; ++i) {
    const auto one = defined<Value>({f, packed.data(), out, in}, std::span(x).subspan(i * in, in));
    expected.insert(expected.end(), one.begin(), one.end());
  }
  const std::vector<float> first(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(out));
  at_every_level([&](level l) {
    CAPTURE(codec::to_string(f), out, in, static_cast<int>(l), sizeof(Value));
    const packed_matrix m{f, packed.data(), out, in};
    REQUIRE(same_bits(dispatched<grids, Value>(m, x, 1), first));
    REQUIRE(same_bits(dispatched<grids, Value>(m, x, n), expected));
  });
}

template<class Codec>
void check_codec() {
  constexpr packed_format format = *codec::packed_format_of<Codec>();
  using listed = formats<format>;
  constexpr std::size_t out = 35, in = 192, n = 5;
  const auto x = normal(n * in, 3), w = normal(out * in, 5);
  std::vector<std::byte> packed(Codec::bytes(out, in));
  Codec::encode({w, out, in}, packed);
  const packed_matrix m{format, packed.data(), out, in};
  std::optional<std::vector<float>> floats, bytes, row;
  at_every_level([&](level l) {
    CAPTURE(Codec::name(), static_cast<int>(l));
    const auto of_floats = dispatched<listed, float>(m, x, n), of_bytes = dispatched<listed, std::int8_t>(m, x, n);
    if (!floats) floats = of_floats, bytes = of_bytes;
    CHECK(same_bits(of_floats, *floats));
    CHECK(same_bits(of_bytes, *bytes));
    std::vector<float> one(out, -77.f), workspace(dispatch::vector_workspace(m));
    dispatch::multiply<listed>(m, std::span(x).first(in), one, workspace);
    CHECK(same_bits(one, {of_floats.begin(), of_floats.begin() + static_cast<std::ptrdiff_t>(out)}));
    if (format.rank_percent != 0) return;
    std::vector<float> decoded(in);
    dispatch::decode_row(m, 20, decoded);
    if (!row) row = decoded;
    CHECK(same_bits(decoded, *row));
  });
}
template<class... Codecs>
void check_codecs() {
  (check_codec<Codecs>(), ...);
}

}  // namespace

TEST_CASE("dispatch @post: every level gives the bits of the scalar lanes, for every packed format",
          "[kernel][dispatch][property]") {
  for (const grid_format& f : every_packed_format()) {
    if (!multiplies<grids>(f)) continue;
    check_grid<float>(f, 40, 160);
    check_grid<std::int8_t>(f, 40, 160);
    if (f.scales == scale_type::float32) continue;
    check_grid<float>(f, 17, 300);
    check_grid<std::int8_t>(f, 17, 300);
  }
}

TEST_CASE("dispatch @post: every level gives equal bits for the other kernels", "[kernel][dispatch][property]") {
  using codec::affine, codec::float16, codec::symmetric;
  check_codecs<codec::float32, float16, codec::codebook<3>, affine<4, 48>, codec::q5_1,
               codec::keep_of<2, 4, symmetric<4, 32>>, codec::bitmap<50, float16>,
               codec::low_rank<25, symmetric<5, 32>>>();
}

TEST_CASE("dispatch @post: every level multiplies matrices of floats to equal bits", "[kernel][dispatch][property]") {
  constexpr std::size_t rows = 7, inner = 300, cols = 37;
  const auto a = normal(rows * inner, 1), b = normal(inner * cols, 2);
  std::optional<std::vector<float>> expected;
  at_every_level([&](level) {
    std::vector<float> c(rows * cols), workspace(product_workspace);
    dispatch::product_onto({}, {a.data(), rows, inner, inner, 1}, {b.data(), inner, cols, cols, 1},
                           {c.data(), rows, cols, cols, 1}, workspace);
    if (!expected) expected = c;
    CHECK(same_bits(c, *expected));
  });
}

TEST_CASE("dispatch uses the widest level that is supported, or the one that is set", "[kernel][dispatch][property]") {
  CHECK(dispatch::supports(level::baseline));
  CHECK(dispatch::supports(dispatch::best()));
  CHECK(dispatch::current() == dispatch::best());
  for (const level l : every_level)
    if (dispatch::supports(l)) CHECK(l <= dispatch::best());
  at_every_level([](level l) { CHECK(dispatch::current() == l); });
}

TEST_CASE("dispatch @post: translation units with different flags multiply in one program",
          "[kernel][dispatch][property]") {
  constexpr std::size_t out = 48, in = 256;
  constexpr grid_format f{.rule = grid_rule::symmetric, .code_bits = 4, .group = 32};
  const auto packed = packed_of(f, out, in);
  const auto x = normal(in, 9);
  const packed_matrix m{f, packed.data(), out, in};
  for (const bool bytes : {false, true}) {
    std::vector<float> y(out);
    other_flags::multiply(packed.data(), out, in, x, y, bytes);
    CHECK(same_bits(y, bytes ? dispatched<grids, std::int8_t>(m, x, 1) : dispatched<grids, float>(m, x, 1)));
  }
}
