#include <engine/packed/packed_view.hpp>

#include <precis/codec/grid/format_name.hpp>
#include <precis/core/error.hpp>

#include <charconv>

namespace engine {
namespace {

namespace kernel = precis::kernel;
using bytes_view = std::span<const std::byte>;

/// Removes `word` from the front of a name. Returns whether it was there.
bool take(std::string_view& name, std::string_view word) {
  if (!name.starts_with(word)) return false;
  name.remove_prefix(word.size());
  return true;
}
/// Removes a number without sign or leading zeros from the front. Returns whether it was there.
bool take(std::string_view& name, std::size_t& number) {
  const char* const end = name.data() + name.size();
  if (name.empty() || name.front() == '0') return false;
  const auto [rest, error] = std::from_chars(name.data(), end, number);
  name.remove_prefix(static_cast<std::size_t>(rest - name.data()));
  return error == std::errc{};
}

void expect([[maybe_unused]] bytes_view packed, [[maybe_unused]] std::size_t bytes) {
  PRECIS_EXPECTS(packed.size() == bytes, "the number of bytes that the codec needs");
}
/// The bytes after the first n, or null if there are fewer: the name is checked before the number of bytes.
[[nodiscard]] const std::byte* after(bytes_view packed, std::size_t n) {
  return packed.size() < n ? nullptr : packed.data() + n;
}
[[nodiscard]] std::size_t size_of(const kernel::dense_matrix& m) { return m.out * m.in * bytes_of(m.type); }
[[nodiscard]] std::size_t size_of(const kernel::packed_grid& m) { return m.format.layout_of(m.out, m.in).bytes; }

std::optional<kernel::dense_matrix> dense_of(std::string_view codec, const std::byte* data, std::size_t out,
                                             std::size_t in) {
  kernel::dense_matrix m{.data = data, .out = out, .in = in};
  if (codec == "float16")
    m.type = kernel::dense_type::float16;
  else if (codec == "bfloat16")
    m.type = kernel::dense_type::bfloat16;
  else if (codec != "float32")
    return std::nullopt;
  return m;
}

std::optional<kernel::packed_grid> grid_of(std::string_view codec, const std::byte* data, std::size_t out,
                                           std::size_t in) {
  const auto format = kernel::parse_grid_format(codec);
  if (!format) return std::nullopt;
  return kernel::packed_grid{*format, data, out, in};
}

std::optional<packed_view> codebook_of(std::string_view name, bytes_view packed, std::size_t out, std::size_t in) {
  kernel::packed_codebook m{{}, packed.data(), out, in};
  std::size_t bits = 0;
  (void)take(name, "_with_zero");
  if (!take(name, bits) || bits < 2 || bits > 8) return std::nullopt;
  m.format.code_bits = static_cast<unsigned>(bits);
  m.format.per_row = take(name, ".row");
  if (!m.format.per_row && !take(name, ".tensor")) return std::nullopt;
  if (take(name, ".h")) m.format.levels = kernel::scale_type::float16;
  if (!name.empty()) return std::nullopt;
  expect(packed, m.format.layout_of(out, in).bytes);
  return m;
}

std::optional<packed_view> kept_of(std::string_view name, bytes_view packed, std::size_t out, std::size_t in) {
  kernel::keep_of_format kept;
  if (!take(name, kept.keep) || !take(name, "of") || !take(name, kept.group) || !take(name, ".")) return std::nullopt;
  if (kept.keep >= kept.group || kept.group < 3 || kept.group > 256) return std::nullopt;
  const std::size_t places = kept.layout_of_places(out, in).bytes, count = kept.count(in);
  const std::byte* const at = after(packed, places);
  if (const auto values = dense_of(name, at, out, count)) {
    expect(packed, places + size_of(*values));
    return kernel::packed_keep_of_dense{kept, packed.data(), *values, in};
  }
  const auto values = grid_of(name, at, out, count);
  if (!values || values->format.has_minimum() || kernel::segment_of(values->format, count) == 0) return std::nullopt;
  expect(packed, places + size_of(*values));
  return kernel::packed_keep_of_grid{kept, packed.data(), *values, in};
}

std::optional<packed_view> bitmap_of(std::string_view name, bytes_view packed, std::size_t out, std::size_t in) {
  std::size_t percent = 0;
  if (!take(name, percent) || percent > 99 || !take(name, ".")) return std::nullopt;
  const std::size_t bits = out * kernel::packed_bytes(in, 1), all = out * in;
  const std::size_t count = all / 100 * percent + (all % 100 * percent + 99) / 100;
  const std::byte* const at = after(packed, bits);
  if (const auto values = dense_of(name, at, 1, count)) {
    expect(packed, bits + size_of(*values));
    return kernel::packed_bitmap_dense{packed.data(), *values, out, in};
  }
  const auto values = grid_of(name, at, 1, count);
  if (!values || values->format.has_minimum()) return std::nullopt;
  expect(packed, bits + size_of(*values));
  return kernel::packed_bitmap_grid{packed.data(), *values, out, in};
}

}  // namespace

std::optional<packed_view> packed_view_of(std::string_view codec, bytes_view packed, std::size_t out, std::size_t in) {
  if (take(codec, "codebook")) return codebook_of(codec, packed, out, in);
  if (take(codec, "keep")) return kept_of(codec, packed, out, in);
  if (take(codec, "bitmap")) return bitmap_of(codec, packed, out, in);
  if (const auto dense = dense_of(codec, packed.data(), out, in)) {
    expect(packed, size_of(*dense));
    return *dense;
  }
  const auto grid = grid_of(codec, packed.data(), out, in);
  if (!grid || kernel::segment_of(grid->format, in) == 0) return std::nullopt;
  expect(packed, size_of(*grid));
  return *grid;
}

}  // namespace engine
