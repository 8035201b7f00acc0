#include <engine/model_files/quantized_checkpoint.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/half.hpp>

#include <algorithm>
#include <cstring>

namespace engine {
namespace {

namespace kernel = precis::kernel;

/// Puts code `i` of a stream of codes of `bits` <= 8 bits.
void put_code(std::byte* stream, unsigned bits, std::size_t i, unsigned code) {
  for (unsigned b = 0; b < bits; ++b)
    if ((code >> b & 1u) != 0) stream[(i * bits + b) / 8] |= static_cast<std::byte>(1u << (i * bits + b) % 8);
}

/// Plain float32, for groups that no format has.
void decode_integers(const integer_matrix& m, repacked_matrix& to) {
  to.codec = "float32";
  const std::size_t groups = m.scales.size() / m.out;
  std::vector<float> row(m.in);
  to.bytes.resize(m.out * m.in * sizeof(float));
  for (std::size_t r = 0; r < m.out; ++r) {
    for (std::size_t c = 0; c < m.in; ++c) {
      const std::size_t g = r * groups + (m.group_of.empty() ? c / m.group : m.group_of[c]);
      row[c] = m.scales[g] * static_cast<float>(static_cast<int>(m.codes[r * m.in + c]) - static_cast<int>(m.zeros[g]));
    }
    std::memcpy(to.bytes.data() + r * m.in * sizeof(float), row.data(), m.in * sizeof(float));
  }
}

}  // namespace

void pack_integers(const integer_matrix& m, repacked_matrix& to) {
  to.out = m.out;
  to.in = m.in;
  const bool row = m.group == m.in;
  const bool has_format = m.group_of.empty() && m.in % 32 == 0 && m.bits >= 2 && m.bits <= 8 &&
                          (row || m.group == 32 || m.group == 64 || m.group == 128);
  if (!has_format) return decode_integers(m, to);

  const unsigned middle = 1u << (m.bits - 1), top = (1u << m.bits) - 1u;
  const bool symmetric = std::ranges::all_of(m.zeros, [&](unsigned z) { return z == middle; });
  const bool affine = std::ranges::all_of(m.zeros, [&](unsigned z) { return z <= top; });
  const bool halves =
      std::ranges::all_of(m.scales, [](float s) { return kernel::half_to_float(kernel::float_to_half(s)) == s; });
  // Zero points that are no code become minima, which must be exact: scales of few bits.
  if (!symmetric && !affine && !halves) return decode_integers(m, to);
  const kernel::grid_format f{
      .rule = symmetric ? kernel::grid_rule::symmetric_full
              : affine  ? kernel::grid_rule::affine
                        : kernel::grid_rule::min_anchored,
      .code_bits = m.bits,
      .group = row ? kernel::per_row : m.group,
      .scales = halves && (symmetric || affine) ? kernel::scale_type::float16 : kernel::scale_type::float32};
  to.codec = precis::codec::to_string(f);
  const kernel::grid_format::layout l = f.layout_of(m.out, m.in);
  to.bytes.assign(l.bytes, std::byte{0});
  std::byte* const bytes = to.bytes.data();
  const std::size_t groups = f.groups_per_row(m.in), blocks = m.in / kernel::block_columns;
  for (std::size_t r = 0; r < m.out; ++r) {
    const std::size_t lane = r % kernel::tile_rows, first = r - lane;
    const std::size_t rows = std::min(m.out - first, kernel::tile_rows);
    kernel::pack_row(m.codes.data() + r * m.in, m.bits, blocks, bytes + first * l.row_words * 4, rows, lane);
    for (std::size_t k = 0; k < groups; ++k) {
      const std::size_t from = r * groups + k, at = f.group_at(m.out, m.in, r, k);
      const float scale = m.scales[from], minimum = -static_cast<float>(m.zeros[from]) * scale;
      if (f.scales == kernel::scale_type::float16)
        kernel::put_word16(kernel::float_to_half(scale), bytes + l.scales + 2 * at);
      else
        std::memcpy(bytes + l.scales + 4 * at, &scale, sizeof scale);
      if (f.has_minimum())
        std::memcpy(bytes + l.offsets + 4 * at, &minimum, sizeof minimum);
      else if (f.rule == kernel::grid_rule::affine)
        put_code(bytes + l.offsets, m.bits, at, m.zeros[from]);
    }
  }
}

}  // namespace engine
