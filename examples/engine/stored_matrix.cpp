#include <engine/stored_matrix.hpp>

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid.hpp>
#include <precis/kernel/dense.hpp>
#include <precis/kernel/ggml.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/packed_product.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace engine {
namespace {

namespace kernel = precis::kernel;

/// Bytes of a matrix that take about as long as another thread takes to wake up.
constexpr std::size_t worth_sharing = std::size_t{1} << 16;
/// Rows that several vectors are multiplied by one after the other stay in the second-level cache.
constexpr std::size_t cached_bytes = std::size_t{1} << 17;

constexpr std::pair<std::string_view, kernel::ggml_type> ggml_types[] = {{"q4_0", kernel::ggml_type::q4_0},
                                                                         {"q4_1", kernel::ggml_type::q4_1},
                                                                         {"q5_0", kernel::ggml_type::q5_0},
                                                                         {"q5_1", kernel::ggml_type::q5_1},
                                                                         {"q8_0", kernel::ggml_type::q8_0}};

}  // namespace

stored_matrix::stored_matrix(kind k, std::size_t out, std::size_t in, std::size_t bytes)
    : kind_(k),
      out_(out),
      in_(in),
      bytes_(bytes),
      data_(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{64}))) {}

std::optional<stored_matrix> stored_matrix::of(std::string_view codec, std::span<const std::byte> packed,
                                               std::size_t out, std::size_t in) {
  for (const auto& [name, type] : ggml_types) {
    if (codec != name) continue;
    PRECIS_EXPECTS(
        in % kernel::ggml_block == 0 && packed.size() == out * in / kernel::ggml_block * kernel::layout_of(type).bytes,
        "whole blocks");
    const kernel::grid_format format = kernel::grid_of(type);
    stored_matrix m(kind::grid, out, in, format.layout_of(out, in).bytes);
    m.format_ = format;
    kernel::repack_ggml(type, packed.data(), out, in, m.data_.get());
    return m;
  }
  kind k = kind::grid;
  kernel::grid_format format;
  if (codec == "float32") {
    k = kind::float32;
  } else if (codec == "float16") {
    k = kind::float16;
  } else if (codec == "bfloat16") {
    k = kind::bfloat16;
  } else {
    const auto parsed = kernel::parse_grid_format(codec);
    if (!parsed || kernel::segment_of(*parsed, in) == 0) return std::nullopt;
    format = *parsed;
    PRECIS_EXPECTS(packed.size() == format.layout_of(out, in).bytes, "the bytes of the matrix");
  }
  stored_matrix m(k, out, in, packed.size());
  m.format_ = format;
  std::ranges::copy(packed, m.data_.get());
  return m;
}

stored_matrix stored_matrix::of(precis::weight_view weights) {
  stored_matrix m(kind::float32, weights.rows, weights.cols, weights.size() * sizeof(float));
  const precis::codec::with_contiguous_rows rows(weights);
  for (std::size_t r = 0; r < weights.rows; ++r)
    std::memcpy(m.data_.get() + r * weights.cols * sizeof(float), rows.view().row(r).data(),
                weights.cols * sizeof(float));
  return m;
}

bool stored_matrix::surely_finite() const {
  if (kind_ == kind::grid) {
    const float most = static_cast<float>(format_.top_code());
    return std::ranges::all_of(precis::codec::read_grids(format_, {data_.get(), bytes_}, out_, in_),
                               [most](const precis::codec::grid& g) {
                                 return std::isfinite(g.scale * most) && std::isfinite(g.scale * most + g.minimum);
                               });
  }
  std::vector<float> values(in_);
  for (std::size_t r = 0; r < out_; ++r) {
    row(r, values);
    if (!std::ranges::all_of(values, [](float x) { return std::isfinite(x); })) return false;
  }
  return true;
}

void stored_matrix::row(std::size_t row, std::span<float> values) const {
  if (kind_ == kind::grid) {
    precis::codec::decode_row(format_, {data_.get(), bytes_}, out_, row, values);
    return;
  }
  if (kind_ == kind::float32) {
    std::memcpy(values.data(), data_.get() + row * in_ * sizeof(float), in_ * sizeof(float));
    return;
  }
  const std::byte* const from = data_.get() + row * in_ * 2;
  for (std::size_t i = 0; i < in_; ++i) {
    const auto bits =
        static_cast<std::uint16_t>(static_cast<unsigned>(from[2 * i]) | static_cast<unsigned>(from[2 * i + 1]) << 8);
    values[i] = kind_ == kind::float16 ? kernel::half_to_float(bits) : kernel::bfloat16_to_float(bits);
  }
}

input_rows::input_rows(precis::matrix_view<const float> rows, activation_type type, arena& memory)
    : rows_(rows), type_(type), memory_(memory) {
  PRECIS_EXPECTS(rows.rows <= most, "at most 32 vectors at once");
}

std::span<const kernel::float_activations> input_rows::floats(std::size_t segment) {
  std::vector<kernel::float_activations>& ready = floats_[segment / 32 - 1];
  const std::size_t room = kernel::float_activation_workspace(rows_.cols, segment);
  for (std::size_t i = ready.size(); i < size(); ++i)
    ready.push_back(kernel::as_floats(rows_.row(i), segment, {memory_.take(room), room}));
  return ready;
}

std::span<const kernel::byte_activations> input_rows::bytes(std::size_t segment) {
  std::vector<kernel::byte_activations>& ready = bytes_[segment / 32 - 1];
  const std::size_t room = kernel::byte_activation_workspace(rows_.cols, segment);
  for (std::size_t i = ready.size(); i < size(); ++i)
    ready.push_back(kernel::as_bytes(rows_.row(i), segment, {memory_.take(room), room}));
  return ready;
}

void multiply(const stored_matrix& m, input_rows& x, precis::matrix_view<float> y, crew& threads) {
  using kind = stored_matrix::kind;
  const kernel::packed_grid grid{m.format_, m.data_.get(), m.out_, m.in_};
  const std::size_t segment = m.kind_ == kind::grid ? kernel::segment_of(m.format_, m.in_) : 0;
  const bool bytes = segment != 0 && x.type() == activation_type::int8;
  const auto as_bytes = bytes ? x.bytes(segment) : std::span<const kernel::byte_activations>{};
  const auto as_floats = segment != 0 && !bytes ? x.floats(segment) : std::span<const kernel::float_activations>{};

  const auto one = [&](std::size_t n, kernel::row_range rows) {
    const kernel::dense_type type = m.kind_ == kind::float32   ? kernel::dense_type::float32
                                    : m.kind_ == kind::float16 ? kernel::dense_type::float16
                                                               : kernel::dense_type::bfloat16;
    if (segment == 0)
      kernel::matvec({type, m.data_.get(), m.out_, m.in_}, x[n], y.row(n), rows);
    else if (bytes)
      kernel::matvec(grid, as_bytes[n], y.row(n), rows);
    else
      kernel::matvec(grid, as_floats[n], y.row(n), rows);
  };
  const auto some = [&](kernel::row_range rows) {
    if (bytes && x.size() > 1) {
      arena memory;
      const std::size_t room = kernel::packed_product_workspace(m.in_, segment);
      kernel::packed_product(grid, as_bytes, {y.data, y.rows * static_cast<std::size_t>(y.row_stride)}, y.row_stride,
                             {memory.take(room), room}, rows);
      return;
    }
    // Every vector by a few rows at a time, so that the matrix is read once.
    const std::size_t row_bytes = std::max<std::size_t>(1, m.bytes_ / std::max<std::size_t>(1, m.out_));
    const std::size_t step = x.size() == 1 ? rows.last - rows.first : (cached_bytes / row_bytes / 16 + 1) * 16;
    for (std::size_t r = rows.first; r < rows.last; r += step)
      for (std::size_t n = 0; n < x.size(); ++n) one(n, {r, std::min(rows.last, r + step)});
  };

  const std::size_t tiles = (m.out_ + kernel::tile_rows - 1) / kernel::tile_rows;
  const std::size_t pieces = std::min({tiles, 4 * threads.size(), m.bytes_ * x.size() / worth_sharing});
  if (threads.size() == 1 || pieces < 2) return some({0, m.out_});
  const auto first_row = [&](std::size_t i) { return std::min(m.out_, tiles * i / pieces * kernel::tile_rows); };
  threads.run(pieces, [&](std::size_t i) { some({first_row(i), first_row(i + 1)}); });
}

}  // namespace engine
