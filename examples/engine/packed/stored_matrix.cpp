#include <engine/packed/stored_matrix.hpp>

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/kernel/blocks/every_block.hpp>
#include <precis/kernel/blocks/repack_blocks.hpp>
#include <precis/kernel/ggml_blocks.hpp>
#include <precis/kernel/multiply.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace engine {
namespace {

namespace kernel = precis::kernel;

/// Bytes of a matrix whose product takes about as long as waking another thread.
constexpr std::size_t worth_sharing = std::size_t{1} << 16;

}  // namespace

stored_matrix::stored_matrix(std::size_t out, std::size_t in, std::size_t bytes)
    : out_(out), in_(in), bytes_(bytes), data_(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{64}))) {
  view_ = {{}, data_.get(), out, in};
}

std::optional<stored_matrix> stored_matrix::of(std::string_view codec, std::span<const std::byte> packed,
                                               std::size_t out, std::size_t in) {
  const std::optional<kernel::packed_format> format = kernel::parse_format(codec);
  if (!format) return std::nullopt;
  PRECIS_EXPECTS(packed.size() == format->bytes(out, in), "the number of bytes that the codec needs");
  if (*format == kernel::packed_format(format->ggml)) {  // plain blocks
    PRECIS_EXPECTS(in % kernel::ggml_block == 0, "whole blocks");
    const kernel::grid_format grid = kernel::grid_of(format->ggml);
    stored_matrix m(out, in, grid.layout_of(out, in).bytes);
    kernel::repack_ggml(format->ggml, packed.data(), out, in, m.data_.get());
    m.view_.format = grid;
    return m;
  }
  if (format->codes == kernel::code_kind::block) {
    const kernel::packed_blocks blocks{format->block, packed.data(), out, in};
    PRECIS_EXPECTS(in % kernel::layout_of(format->block).weights == 0, "whole blocks");
    if (const auto grid = kernel::grid_of(format->block)) {
      stored_matrix m(out, in, grid->layout_of(out, in).bytes);
      kernel::repack_blocks(blocks, m.data_.get());
      m.view_.format = *grid;
      return m;
    }
  }
  stored_matrix m(out, in, packed.size());
  std::ranges::copy(packed, m.data_.get());
  m.view_.format = *format;
  return m;
}

stored_matrix stored_matrix::of(precis::weight_view weights) {
  stored_matrix m(weights.rows, weights.cols, weights.size() * sizeof(float));
  const precis::codec::with_contiguous_rows rows(weights);
  for (std::size_t r = 0; r < weights.rows; ++r)
    std::memcpy(m.data_.get() + r * weights.cols * sizeof(float), rows.view().row(r).data(),
                weights.cols * sizeof(float));
  m.view_.format = kernel::dense_type::float32;
  return m;
}

bool stored_matrix::surely_finite() const {
  const kernel::packed_format& f = view_.format;
  if (f.rank_percent != 0 || f.kept != kernel::kept_weights::all) return false;
  if (f.codes == kernel::code_kind::grid) {
    const float most = static_cast<float>(f.grid.top_code());
    return std::ranges::all_of(precis::codec::read_grids(f.grid, {data_.get(), bytes_}, out_, in_),
                               [most](const precis::codec::grid& g) {
                                 return std::isfinite(g.scale * most) && std::isfinite(g.scale * most + g.minimum);
                               });
  }
  if (f.codes == kernel::code_kind::block)
    return kernel::scales_are_finite(kernel::packed_blocks{f.block, data_.get(), out_, in_});
  if (f.codes != kernel::code_kind::dense) return false;
  std::vector<float> values(in_);
  for (std::size_t r = 0; r < out_; ++r) {
    row(r, values);
    if (!std::ranges::all_of(values, [](float x) { return std::isfinite(x); })) return false;
  }
  return true;
}

void stored_matrix::row(std::size_t row, std::span<float> values) const { kernel::decode_row(view_, row, values); }

namespace {

template<class Value>
kernel::input_vectors<Value> vectors_of(precis::matrix_view<const float> rows, scratch_arena& memory) {
  const std::size_t floats = kernel::input_workspace<Value>(rows.rows, rows.cols);
  return {rows, {memory.take(floats), floats}};
}

}  // namespace

input_rows::input_rows(precis::matrix_view<const float> rows, activation_type type, scratch_arena& memory)
    : size_(rows.rows), vectors_(vectors_of<float>(precis::matrix_view<const float>(), memory)) {
  PRECIS_EXPECTS(rows.rows <= most, "at most 32 vectors at once");
  if (type == activation_type::int8)
    vectors_ = vectors_of<std::int8_t>(rows, memory);
  else
    vectors_ = vectors_of<float>(rows, memory);
}

void multiply(const stored_matrix& m, input_rows& x, precis::matrix_view<float> y, thread_team& threads) {
  const auto multiply_rows = [&](kernel::row_range rows) {
    std::visit(
        [&]<class Value>(kernel::input_vectors<Value>& vectors) {
          scratch_arena memory;
          const std::size_t floats = kernel::multiply_workspace<Value>(m.view_, vectors.size());
          kernel::multiply(m.view_, vectors, y, {memory.take(floats), floats}, rows);
        },
        x.vectors_);
  };
  std::visit([&](auto& vectors) { vectors.prepare(m.view_); }, x.vectors_);

  const std::size_t tiles = (m.out_ + kernel::tile_rows - 1) / kernel::tile_rows;
  const std::size_t pieces = std::min({tiles, 4 * threads.size(), m.bytes_ * x.size() / worth_sharing});
  if (threads.size() == 1 || pieces < 2) return multiply_rows({0, m.out_});
  threads.run(pieces, [&](std::size_t i) { multiply_rows(kernel::piece_of(m.out_, i, pieces)); });
}

}  // namespace engine
