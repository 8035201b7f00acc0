#include <engine/packed/stored_matrix.hpp>

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/kernel/dense_product.hpp>
#include <precis/kernel/ggml_blocks.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/packed_product.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace engine {
namespace {

namespace kernel = precis::kernel;

/// Bytes of a matrix whose product takes about as long as waking another thread.
constexpr std::size_t worth_sharing = std::size_t{1} << 16;
/// Bytes of the rows that are multiplied with several vectors in turn, so that they stay in the L2 cache.
constexpr std::size_t cached_bytes = std::size_t{1} << 17;

constexpr std::pair<std::string_view, kernel::ggml_type> ggml_types[] = {{"q4_0", kernel::ggml_type::q4_0},
                                                                         {"q4_1", kernel::ggml_type::q4_1},
                                                                         {"q5_0", kernel::ggml_type::q5_0},
                                                                         {"q5_1", kernel::ggml_type::q5_1},
                                                                         {"q8_0", kernel::ggml_type::q8_0}};

}  // namespace

stored_matrix::stored_matrix(std::size_t out, std::size_t in, std::size_t bytes)
    : out_(out), in_(in), bytes_(bytes), data_(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{64}))) {}

std::optional<stored_matrix> stored_matrix::of(std::string_view codec, std::span<const std::byte> packed,
                                               std::size_t out, std::size_t in) {
  for (const auto& [name, type] : ggml_types) {
    if (codec != name) continue;
    PRECIS_EXPECTS(
        in % kernel::ggml_block == 0 && packed.size() == out * in / kernel::ggml_block * kernel::layout_of(type).bytes,
        "whole blocks");
    const kernel::grid_format format = kernel::grid_of(type);
    stored_matrix m(out, in, format.layout_of(out, in).bytes);
    kernel::repack_ggml(type, packed.data(), out, in, m.data_.get());
    m.view_ = kernel::packed_grid{format, m.data_.get(), out, in};
    return m;
  }
  if (!packed_view_of(codec, packed, out, in)) return std::nullopt;
  stored_matrix m(out, in, packed.size());
  std::ranges::copy(packed, m.data_.get());
  m.view_ = *packed_view_of(codec, {m.data_.get(), m.bytes_}, out, in);
  return m;
}

stored_matrix stored_matrix::of(precis::weight_view weights) {
  stored_matrix m(weights.rows, weights.cols, weights.size() * sizeof(float));
  const precis::codec::with_contiguous_rows rows(weights);
  for (std::size_t r = 0; r < weights.rows; ++r)
    std::memcpy(m.data_.get() + r * weights.cols * sizeof(float), rows.view().row(r).data(),
                weights.cols * sizeof(float));
  m.view_ = kernel::dense_matrix{kernel::dense_type::float32, m.data_.get(), m.out_, m.in_};
  return m;
}

bool stored_matrix::surely_finite() const {
  if (const auto* grid = std::get_if<kernel::packed_grid>(&view_)) {
    const float most = static_cast<float>(grid->format.top_code());
    return std::ranges::all_of(precis::codec::read_grids(grid->format, {data_.get(), bytes_}, out_, in_),
                               [most](const precis::codec::grid& g) {
                                 return std::isfinite(g.scale * most) && std::isfinite(g.scale * most + g.minimum);
                               });
  }
  if (!std::holds_alternative<kernel::dense_matrix>(view_)) return false;
  std::vector<float> values(in_);
  for (std::size_t r = 0; r < out_; ++r) {
    row(r, values);
    if (!std::ranges::all_of(values, [](float x) { return std::isfinite(x); })) return false;
  }
  return true;
}

namespace {

void write_row(const kernel::dense_matrix& m, std::size_t row, std::span<float> values) {
  const std::byte* const from = m.data + row * m.in * bytes_of(m.type);
  if (m.type == kernel::dense_type::float32) {
    std::memcpy(values.data(), from, m.in * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < m.in; ++i) {
    const auto bits =
        static_cast<std::uint16_t>(static_cast<unsigned>(from[2 * i]) | static_cast<unsigned>(from[2 * i + 1]) << 8);
    values[i] = m.type == kernel::dense_type::float16 ? kernel::half_to_float(bits) : kernel::bfloat16_to_float(bits);
  }
}
void write_row(const kernel::packed_grid& m, std::size_t row, std::span<float> values) {
  precis::codec::decode_row(m.format, {m.data, m.format.layout_of(m.out, m.in).bytes}, m.out, row, values);
}
void write_row(const auto& m, std::size_t row, std::span<float> values) { kernel::decode_row(m, row, values); }

}  // namespace

void stored_matrix::row(std::size_t row, std::span<float> values) const {
  std::visit([&](const auto& m) { write_row(m, row, values); }, view_);
}

input_rows::input_rows(precis::matrix_view<const float> rows, activation_type type, scratch_arena& memory)
    : rows_(rows), type_(type), memory_(memory) {
  PRECIS_EXPECTS(rows.rows <= most, "at most 32 vectors at once");
}

std::span<const kernel::float_activations> input_rows::floats(std::size_t segment) {
  std::vector<kernel::float_activations>& ready = floats_[segment / 32 - 1];
  const std::size_t size_needed = kernel::float_activation_workspace(rows_.cols, segment);
  for (std::size_t i = ready.size(); i < size(); ++i)
    ready.push_back(kernel::as_floats(rows_.row(i), segment, {memory_.take(size_needed), size_needed}));
  return ready;
}

std::span<const kernel::byte_activations> input_rows::bytes(std::size_t segment) {
  std::vector<kernel::byte_activations>& ready = bytes_[segment / 32 - 1];
  const std::size_t size_needed = kernel::byte_activation_workspace(rows_.cols, segment);
  for (std::size_t i = ready.size(); i < size(); ++i)
    ready.push_back(kernel::as_bytes(rows_.row(i), segment, {memory_.take(size_needed), size_needed}));
  return ready;
}

namespace {

/// The work of one thread: rows of m times every vector.
struct product {
  input_rows& x;
  precis::matrix_view<float> y;
  std::size_t bytes = 0;  ///< size of the matrix

  /// Multiplies every vector with a few rows at a time, so that the matrix is read once.
  template<class Matrix, class Input>
  void each(const Matrix& m, std::size_t out, kernel::row_range rows, const Input& input) const {
    const std::size_t row_bytes = std::max<std::size_t>(1, bytes / std::max<std::size_t>(1, out));
    const std::size_t step = x.size() == 1 ? rows.last - rows.first : (cached_bytes / row_bytes / 16 + 1) * 16;
    for (std::size_t r = rows.first; r < rows.last; r += step)
      for (std::size_t n = 0; n < x.size(); ++n)
        kernel::matvec(m, input(n), y.row(n), {r, std::min(rows.last, r + step)});
  }
  [[nodiscard]] std::span<float> all() const { return {y.data, y.rows * static_cast<std::size_t>(y.row_stride)}; }

  void operator()(const kernel::dense_matrix& m, kernel::row_range rows) const {
    if (x.size() == 1) return kernel::matvec(m, x[0], y.row(0), rows);
    scratch_arena memory;
    const std::size_t size_needed = kernel::dense_product_workspace(m.in);
    kernel::dense_product(m, x.rows(), all(), y.row_stride, {memory.take(size_needed), size_needed}, rows);
  }
  void operator()(const kernel::packed_grid& m, kernel::row_range rows) const {
    const std::size_t segment = kernel::segment_of(m.format, m.in);
    const bool floats = x.type() == activation_type::float32;
    if (x.size() == 1 && floats) return kernel::matvec(m, x.floats(segment)[0], y.row(0), rows);
    if (x.size() == 1) return kernel::matvec(m, x.bytes(segment)[0], y.row(0), rows);
    if (floats) return kernel::packed_product(m, x.floats(segment), all(), y.row_stride, rows);
    scratch_arena memory;
    const std::size_t size_needed = kernel::packed_product_workspace(m.in, segment);
    kernel::packed_product(m, x.bytes(segment), all(), y.row_stride, {memory.take(size_needed), size_needed}, rows);
  }
  void operator()(const kernel::packed_codebook& m, kernel::row_range rows) const {
    const auto vectors = x.floats(kernel::codebook_segment);
    if (x.size() == 1)
      kernel::matvec(m, vectors[0], y.row(0), rows);
    else
      kernel::packed_product(m, vectors, all(), y.row_stride, rows);
  }
  void operator()(const kernel::packed_keep_of_grid& m, kernel::row_range rows) const {
    each(m, m.values.out, rows, [&](std::size_t n) { return x[n]; });
  }
  void operator()(const kernel::expanded_format auto& m, kernel::row_range rows) const {
    std::array<std::span<const float>, input_rows::most> vectors;
    for (std::size_t n = 0; n < x.size(); ++n) vectors[n] = x[n];
    kernel::packed_product(m, std::span(vectors).first(x.size()), all(), y.row_stride, rows);
  }

  /// Prepares the vectors, so that threads only read them.
  void prepare(const packed_view& m) const {
    if (const auto* grid = std::get_if<kernel::packed_grid>(&m)) {
      const std::size_t segment = kernel::segment_of(grid->format, grid->in);
      if (x.type() == activation_type::int8)
        (void)x.bytes(segment);
      else
        (void)x.floats(segment);
    }
    if (std::holds_alternative<kernel::packed_codebook>(m)) (void)x.floats(kernel::codebook_segment);
  }
};

}  // namespace

void multiply(const stored_matrix& m, input_rows& x, precis::matrix_view<float> y, thread_team& threads) {
  const product by{x, y, m.bytes_};
  by.prepare(m.view_);
  const auto multiply_rows = [&](kernel::row_range rows) {
    std::visit([&](const auto& view) { by(view, rows); }, m.view_);
  };

  const std::size_t tiles = (m.out_ + kernel::tile_rows - 1) / kernel::tile_rows;
  const std::size_t pieces = std::min({tiles, 4 * threads.size(), m.bytes_ * x.size() / worth_sharing});
  if (threads.size() == 1 || pieces < 2) return multiply_rows({0, m.out_});
  const auto first_row = [&](std::size_t i) { return std::min(m.out_, tiles * i / pieces * kernel::tile_rows); };
  threads.run(pieces, [&](std::size_t i) { multiply_rows({first_row(i), first_row(i + 1)}); });
}

}  // namespace engine
