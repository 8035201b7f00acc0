#include <engine/files/gguf.hpp>

#include <engine/files/messages.hpp>

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/blocks/block_type.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>

namespace engine {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read and written in memory order");

constexpr std::string_view magic = "GGUF";
constexpr std::uint32_t oldest_version = 2, version = 3;
constexpr std::size_t default_alignment = 32, largest_alignment = std::size_t{1} << 20;
constexpr std::size_t longest_name = 1 << 16;
constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

/// A tensor type of the format. Types with bytes == 0 are unsupported; their names are for messages.
struct tensor_format {
  std::uint32_t number;
  std::string_view name;  // this library's, or ggml's if the type is unsupported
  std::size_t block = 1;
  std::size_t bytes = 0;  // per block
};
constexpr tensor_format plain_formats[] = {{0, "float32", 1, 4},
                                           {1, "float16", 1, 2},
                                           {30, "bfloat16", 1, 2},
                                           {2, "q4_0", 32, 18},
                                           {3, "q4_1", 32, 20},
                                           {6, "q5_0", 32, 22},
                                           {7, "q5_1", 32, 24},
                                           {8, "q8_0", 32, 34},
                                           {4, "q4_2, which llama.cpp has removed"},
                                           {5, "q4_3, which llama.cpp has removed"},
                                           {9, "q8_1, a type of activations"},
                                           {15, "q8_K, a type of activations"},
                                           {24, "int8"},
                                           {25, "int16"},
                                           {26, "int32"},
                                           {27, "int64"},
                                           {28, "float64"},
                                           {31, "q4_0_4_4, which llama.cpp has removed"},
                                           {32, "q4_0_4_8, which llama.cpp has removed"},
                                           {33, "q4_0_8_8, which llama.cpp has removed"},
                                           {36, "iq4_nl_4_4, which llama.cpp has removed"},
                                           {37, "iq4_nl_4_8, which llama.cpp has removed"},
                                           {38, "iq4_nl_8_8, which llama.cpp has removed"}};
constexpr auto formats = [] {
  namespace kernel = precis::kernel;
  std::array<tensor_format, std::size(plain_formats) + kernel::block_types> all{};
  std::ranges::copy(plain_formats, all.begin());
  for (std::size_t i = 0; i < kernel::block_types; ++i) {
    const kernel::block_layout l = kernel::layout_of(static_cast<kernel::block_type>(i));
    all[std::size(plain_formats) + i] = {l.ggml_id, l.name, l.weights, l.bytes};
  }
  return all;
}();
constexpr std::string_view readable =
    "float32, float16, bfloat16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_k to q6_k, iq1_s to iq4_xs, mxfp4, nvfp4, tq1_0, "
    "tq2_0, q1_0 or q2_0";

template<class Key>
[[nodiscard]] const tensor_format* format_of(Key key) noexcept {
  for (const tensor_format& f : formats) {
    if constexpr (std::is_integral_v<Key>) {
      if (f.number == key) return &f;
    } else {
      if (f.name == key && f.bytes != 0) return &f;
    }
  }
  return nullptr;
}

/// Bytes of one value of a fixed-width type; 0 for other types.
[[nodiscard]] std::size_t width_of(gguf_type type) noexcept {
  constexpr std::size_t widths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return widths[static_cast<std::size_t>(type)];
}

/// Reads forward with bounds checks.
class cursor {
 public:
  cursor(std::span<const std::byte> file, std::string_view where) : rest_(file), where_(where) {}

  template<class T>
  [[nodiscard]] T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  [[nodiscard]] std::string_view text() {
    const auto bytes = take(size());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  [[nodiscard]] std::string name(const char* of_what) {
    const std::string_view t = text();
    if (t.empty() || t.size() > longest_name)
      refuse_input(where_, std::string(of_what) + " name of " + std::to_string(t.size()) + " bytes", "1 to 65536");
    return std::string(t);
  }
  [[nodiscard]] std::size_t size() {
    const auto value = number<std::uint64_t>();
    return value > std::numeric_limits<std::size_t>::max() ? none : static_cast<std::size_t>(value);
  }
  /// A count of items that take at least `least` bytes each.
  [[nodiscard]] std::size_t count(std::size_t least, const char* what) {
    const std::size_t n = size();
    if (n > rest_.size() / least)
      refuse_input(where_, std::to_string(n) + " " + what + " in " + std::to_string(rest_.size()) + " bytes",
                   "a GGUF file that is not truncated");
    return n;
  }
  [[nodiscard]] gguf_type type() {
    const auto value = number<std::uint32_t>();
    if (value > static_cast<std::uint32_t>(gguf_type::f64))
      refuse_input(where_, "a value of type " + std::to_string(value), "a type of GGUF version 3, 0 to 12");
    return static_cast<gguf_type>(value);
  }
  [[nodiscard]] std::span<const std::byte> take(std::size_t bytes) {
    if (bytes > rest_.size())
      refuse_input(where_, "the header extends past the end of the file", "a GGUF file that is not truncated");
    const auto taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }
  [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
  std::string_view where_;
};

[[nodiscard]] gguf_value read_number(gguf_type type, cursor& from) {
  switch (type) {
    case gguf_type::u8: return std::uint64_t{from.number<std::uint8_t>()};
    case gguf_type::u16: return std::uint64_t{from.number<std::uint16_t>()};
    case gguf_type::u32: return std::uint64_t{from.number<std::uint32_t>()};
    case gguf_type::u64: return from.number<std::uint64_t>();
    case gguf_type::i8: return std::int64_t{from.number<std::int8_t>()};
    case gguf_type::i16: return std::int64_t{from.number<std::int16_t>()};
    case gguf_type::i32: return std::int64_t{from.number<std::int32_t>()};
    case gguf_type::i64: return from.number<std::int64_t>();
    case gguf_type::f32: return static_cast<double>(from.number<float>());
    case gguf_type::f64: return from.number<double>();
    default: return from.number<std::uint8_t>() != 0;
  }
}

[[nodiscard]] gguf_value read_value(cursor& from, std::string_view where, const std::string& key) {
  const gguf_type type = from.type();
  if (type == gguf_type::text) return from.text();
  if (type != gguf_type::array) return read_number(type, from);
  const gguf_type element = from.type();
  if (element == gguf_type::array)
    refuse_input(where, "key \"" + precis::shown(key) + "\" is an array of arrays", "arrays of plain values");
  const std::size_t width = width_of(element), count = from.count(width == 0 ? 8 : width, "array elements");
  if (width != 0) return gguf_array{element, count, from.take(count * width)};
  cursor start = from;
  for (std::size_t i = 0; i < count; ++i) (void)from.text();
  return gguf_array{element, count, start.take(start.left() - from.left())};
}

[[nodiscard]] std::size_t padded(std::size_t bytes, std::size_t alignment) noexcept {
  return (bytes + alignment - 1) / alignment * alignment;
}

[[nodiscard]] gguf_tensor read_tensor(cursor& from, std::string_view where) {
  gguf_tensor t;
  t.name = from.name("a tensor");
  const std::string at = "tensor \"" + precis::shown(t.name) + "\"";
  const auto extents = from.number<std::uint32_t>();
  if (extents == 0 || extents > 4)
    refuse_input(where, at + " has " + std::to_string(extents) + " dimensions", "1 to 4");
  for (std::uint32_t i = 0; i < extents; ++i) t.shape.insert(t.shape.begin(), from.size());
  const auto type = from.number<std::uint32_t>();
  const tensor_format* const format = format_of(type);
  if (format == nullptr || format->bytes == 0)
    refuse_input(where, at + " is of type " + (format == nullptr ? std::to_string(type) : std::string(format->name)),
                 std::string(readable));
  t.format = format->name;
  t.bytes = gguf_bytes(t.format, t.shape);
  if (t.bytes == 0)
    refuse_input(where, at + " has a shape that " + std::string(t.format) + " cannot store",
                 "positive dimensions, rows of whole blocks, and a size that fits the file");
  t.first_byte = from.size();
  return t;
}

}  // namespace

std::optional<std::uint32_t> gguf_file_type(std::string_view format) noexcept {
  // Of presets that share a base type, the one without mixtures, or else the usual one.
  constexpr std::pair<std::string_view, std::uint32_t> types[] = {
      {"float32", 0},   {"float16", 1}, {"q4_0", 2},    {"q4_1", 3},   {"q8_0", 7},   {"q5_0", 8},     {"q5_1", 9},
      {"q2_k", 10},     {"q3_k", 12},   {"q4_k", 15},   {"q5_k", 17},  {"q6_k", 18},  {"iq2_xxs", 19}, {"iq2_xs", 20},
      {"iq3_xxs", 23},  {"iq1_s", 24},  {"iq4_nl", 25}, {"iq3_s", 26}, {"iq2_s", 29}, {"iq4_xs", 30},  {"iq1_m", 31},
      {"bfloat16", 32}, {"tq1_0", 36},  {"tq2_0", 37},  {"mxfp4", 38}, {"nvfp4", 39}};
  const auto* const at = std::ranges::find(types, format, [](const auto& t) { return t.first; });
  return at == std::end(types) ? std::nullopt : std::optional(at->second);
}

std::size_t gguf_bytes(std::string_view format, std::span<const std::size_t> shape) noexcept {
  const tensor_format* const f = format_of(format);
  if (f == nullptr || shape.empty() || shape.back() % f->block != 0) return 0;
  std::size_t bytes = f->bytes;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t n = i + 1 == shape.size() ? shape[i] / f->block : shape[i];
    if (n == 0 || bytes > (none >> 1) / n) return 0;
    bytes *= n;
  }
  return bytes;
}

gguf_header parse_gguf(std::span<const std::byte> file, std::string_view where) {
  const std::string_view begin(reinterpret_cast<const char*>(file.data()), std::min<std::size_t>(file.size(), 4));
  if (begin != magic) refuse_input(where, "a file that does not begin with GGUF", "a GGUF file");
  cursor from(file.subspan(4), where);
  const auto found = from.number<std::uint32_t>();
  if ((found & 0xFFFFu) == 0 && found != 0)
    refuse_input(where, "a big-endian GGUF file",
                 "a little-endian one: `gguf_convert_endian.py FILE little` of llama.cpp converts it");
  if (found < oldest_version || found > version)
    refuse_input(where, "GGUF version " + std::to_string(found),
                 "version 2 or 3: convert the model again with a current llama.cpp");
  const std::size_t tensors = from.size(), keys = from.count(13, "metadata keys");
  if (tensors > from.left() / 33)  // the smallest entry: a name of one letter, one dimension, type and offset
    refuse_input(where, std::to_string(tensors) + " tensors in " + std::to_string(from.left()) + " bytes",
                 "a GGUF file that is not truncated");

  gguf_header h;
  for (std::size_t i = 0; i < keys; ++i) {
    std::string key = from.name("a key");
    cursor start = from;
    gguf_value value = read_value(from, where, key);
    h.stored.push_back({key, start.take(start.left() - from.left())});
    const auto [at, fresh] = h.metadata.emplace(std::move(key), value);
    if (!fresh) refuse_input(where, "key \"" + precis::shown(at->first) + "\" occurs twice", "each key once");
  }
  const std::size_t alignment = gguf_keys(h, where).whole_number_or("general.alignment", default_alignment);
  if (!std::has_single_bit(alignment) || alignment > largest_alignment)
    refuse_input(where, "an alignment of " + std::to_string(alignment), "a power of two up to 2^20");

  h.tensors.reserve(tensors);
  for (std::size_t i = 0; i < tensors; ++i) h.tensors.push_back(read_tensor(from, where));
  const std::size_t data = padded(file.size() - from.left(), alignment);
  std::vector<const gguf_tensor*> order, names;
  for (gguf_tensor& t : h.tensors) {
    const std::string at = "tensor \"" + precis::shown(t.name) + "\"";
    if (t.first_byte % alignment != 0)
      refuse_input(where, at + " is at offset " + std::to_string(t.first_byte),
                   "a multiple of " + std::to_string(alignment));
    if (data > file.size() || t.first_byte > file.size() - data || t.bytes > file.size() - data - t.first_byte)
      refuse_input(where, at + " extends past the end of the file", "a GGUF file that is not truncated");
    t.first_byte += data;
    t.data = file.subspan(t.first_byte, t.bytes);
    order.push_back(&t);
  }
  names = order;
  std::ranges::sort(order, {}, &gguf_tensor::first_byte);
  for (std::size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->first_byte + order[i - 1]->bytes > order[i]->first_byte)
      refuse_input(
          where,
          "tensors \"" + precis::shown(order[i - 1]->name) + "\" and \"" + precis::shown(order[i]->name) + "\" overlap",
          "tensors that do not overlap");
  std::ranges::sort(names, {}, &gguf_tensor::name);
  for (std::size_t i = 1; i < names.size(); ++i)
    if (names[i - 1]->name == names[i]->name)
      refuse_input(where, "tensor \"" + precis::shown(names[i]->name) + "\" occurs twice", "each tensor once");
  return h;
}

std::vector<gguf_value> elements_of(const gguf_array& array) {
  cursor from(array.bytes, "array");
  std::vector<gguf_value> elements;
  elements.reserve(array.count);
  for (std::size_t i = 0; i < array.count; ++i) {
    if (array.type == gguf_type::text)
      elements.emplace_back(from.text());
    else
      elements.push_back(read_number(array.type, from));
  }
  return elements;
}

const gguf_value* gguf_keys::find(std::string_view key) const {
  const auto at = header_.metadata.find(key);
  return at == header_.metadata.end() ? nullptr : &at->second;
}
void gguf_keys::refuse(std::string_view key, std::string_view expected) const {
  std::string what = "key \"" + std::string(key) + "\" is ";
  const gguf_value* const v = find(key);
  if (v == nullptr)
    what += "missing";
  else if (const auto* text = std::get_if<std::string_view>(v))
    what += "\"" + precis::shown(*text) + "\"";
  else if (const auto* array = std::get_if<gguf_array>(v))
    what += "an array of " + std::to_string(array->count) + " elements of type " +
            std::to_string(static_cast<unsigned>(array->type));
  else if (const auto* flag = std::get_if<bool>(v))
    what += *flag ? "true" : "false";
  else if (const auto* real = std::get_if<double>(v))
    what += precis::text::number(*real);
  else if (const auto* whole = std::get_if<std::int64_t>(v))
    what += std::to_string(*whole);
  else
    what += std::to_string(std::get<std::uint64_t>(*v));
  refuse_input(where_, std::move(what), std::string(expected));
}
namespace {
[[nodiscard]] bool whole_value(const gguf_value& v, std::size_t& number) {
  if (const auto* n = std::get_if<std::uint64_t>(&v))
    number = static_cast<std::size_t>(*n);
  else if (const auto* s = std::get_if<std::int64_t>(&v); s != nullptr && *s >= 0)
    number = static_cast<std::size_t>(*s);
  else
    return false;
  return true;
}
}  // namespace
std::size_t gguf_keys::whole_number(std::string_view key) const {
  const gguf_value* const v = find(key);
  std::size_t number = 0;
  if (v == nullptr || !whole_value(*v, number)) refuse(key, "a whole number");
  return number;
}
std::size_t gguf_keys::whole_number_or(std::string_view key, std::size_t otherwise) const {
  return find(key) == nullptr ? otherwise : whole_number(key);
}
std::size_t gguf_keys::repeated_number(std::string_view key, std::size_t count) const {
  const gguf_value* const v = find(key);
  const auto* const array = v == nullptr ? nullptr : std::get_if<gguf_array>(v);
  if (array == nullptr) return whole_number(key);
  const std::vector<gguf_value> all = array->count == count ? elements_of(*array) : std::vector<gguf_value>{};
  std::size_t number = 0;
  if (all.empty() || !whole_value(all.front(), number) || !std::ranges::all_of(all, [&](const gguf_value& e) {
        std::size_t other = 0;
        return whole_value(e, other) && other == number;
      }))
    refuse(key, "a whole number, or " + std::to_string(count) + " equal ones");
  return number;
}
double gguf_keys::number_or(std::string_view key, double otherwise) const {
  const gguf_value* const v = find(key);
  if (v == nullptr) return otherwise;
  if (const auto* x = std::get_if<double>(v); x != nullptr && std::isfinite(*x)) return *x;
  refuse(key, "a finite number");
}
bool gguf_keys::flag_or(std::string_view key, bool otherwise) const {
  const gguf_value* const v = find(key);
  if (v == nullptr) return otherwise;
  if (const auto* flag = std::get_if<bool>(v)) return *flag;
  refuse(key, "true or false");
}
std::string_view gguf_keys::text(std::string_view key) const {
  const gguf_value* const v = find(key);
  if (v != nullptr)
    if (const auto* text = std::get_if<std::string_view>(v)) return *text;
  refuse(key, "a text");
}
std::string_view gguf_keys::text_or(std::string_view key, std::string_view otherwise) const {
  return find(key) == nullptr ? otherwise : text(key);
}
std::vector<std::string_view> gguf_keys::texts(std::string_view key) const {
  const gguf_value* const v = find(key);
  const auto* const array = v == nullptr ? nullptr : std::get_if<gguf_array>(v);
  if (array == nullptr || array->type != gguf_type::text) refuse(key, "an array of texts");
  cursor from(array->bytes, where_);
  std::vector<std::string_view> all(array->count);
  for (std::string_view& t : all) t = from.text();
  return all;
}
namespace {
template<class T>
[[nodiscard]] std::optional<std::vector<T>> numbers(const gguf_value* v, gguf_type type) {
  const auto* const array = v == nullptr ? nullptr : std::get_if<gguf_array>(v);
  if (array == nullptr || array->type != type) return std::nullopt;
  std::vector<T> all(array->count);
  if (!all.empty()) std::memcpy(all.data(), array->bytes.data(), array->bytes.size());
  return all;
}
}  // namespace
std::vector<float> gguf_keys::floats(std::string_view key) const {
  if (auto all = numbers<float>(find(key), gguf_type::f32)) return std::move(*all);
  refuse(key, "an array of f32");
}
std::vector<std::int32_t> gguf_keys::integers(std::string_view key) const {
  if (auto all = numbers<std::int32_t>(find(key), gguf_type::i32)) return std::move(*all);
  refuse(key, "an array of i32");
}
std::string gguf_keys::bytes(std::string_view key) const {
  const gguf_value* const v = find(key);
  const auto* const array = v == nullptr ? nullptr : std::get_if<gguf_array>(v);
  if (array == nullptr || (array->type != gguf_type::u8 && array->type != gguf_type::i8))
    refuse(key, "an array of u8 or i8");
  return {reinterpret_cast<const char*>(array->bytes.data()), array->bytes.size()};
}

namespace {

/// Serializes a header.
struct header_bytes {
  std::string out{magic};

  template<class T>
    requires std::is_arithmetic_v<T>
  void put(T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put(gguf_type type) { put(static_cast<std::uint32_t>(type)); }
  void put(std::string_view text) {
    put(std::uint64_t{text.size()});
    out += text;
  }
  template<class T>
  void put_all(gguf_type type, const std::vector<T>& values) {
    put(gguf_type::array);
    put(type);
    put(std::uint64_t{values.size()});
    for (const T& v : values) {
      if constexpr (std::is_arithmetic_v<T>)
        put(v);
      else
        put(std::string_view(v));
    }
  }
  void put(const gguf_item& item) {
    std::visit(
        [&]<class T>(const T& value) {
          if constexpr (std::is_same_v<T, std::uint32_t>) {
            put(gguf_type::u32);
            put(value);
          } else if constexpr (std::is_same_v<T, std::uint16_t>) {
            put(gguf_type::u16);
            put(value);
          } else if constexpr (std::is_same_v<T, std::int32_t>) {
            put(gguf_type::i32);
            put(value);
          } else if constexpr (std::is_same_v<T, float>) {
            put(gguf_type::f32);
            put(value);
          } else if constexpr (std::is_same_v<T, bool>) {
            put(gguf_type::boolean);
            put(std::uint8_t{value});
          } else if constexpr (std::is_same_v<T, std::string>) {
            put(gguf_type::text);
            put(std::string_view(value));
          } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
            put_all(gguf_type::text, value);
          } else if constexpr (std::is_same_v<T, std::vector<float>>) {
            put_all(gguf_type::f32, value);
          } else if constexpr (std::is_same_v<T, std::vector<std::byte>>) {
            out.append(reinterpret_cast<const char*>(value.data()), value.size());
          } else if constexpr (std::is_same_v<T, std::vector<bool>>) {
            put(gguf_type::array);
            put(gguf_type::boolean);
            put(std::uint64_t{value.size()});
            for (const bool flag : value) put(std::uint8_t{flag});
          } else {
            put_all(gguf_type::i32, value);
          }
        },
        item);
  }
};

/// The header up to its tensors.
[[nodiscard]] header_bytes header_of(std::span<const std::pair<std::string, gguf_item>> metadata, std::size_t tensors) {
  header_bytes h;
  h.put(version);
  h.put(std::uint64_t{tensors});
  h.put(std::uint64_t{metadata.size()});
  for (const auto& [key, item] : metadata) {
    h.put(std::string_view(key));
    h.put(item);
  }
  return h;
}

}  // namespace

std::string gguf_text(std::span<const std::pair<std::string, gguf_item>> metadata) {
  header_bytes h = header_of(metadata, 0);
  h.out.resize(padded(h.out.size(), default_alignment));
  return std::move(h.out);
}

gguf_writer::gguf_writer(const std::filesystem::path& path, std::span<const std::pair<std::string, gguf_item>> metadata,
                         std::span<const gguf_declaration> tensors)
    : where_(path.string()), file_(path) {
  header_bytes h = header_of(metadata, tensors.size());
  std::size_t offset = 0;
  std::vector<std::string_view> names;
  for (const gguf_declaration& t : tensors) {
    const std::size_t bytes = gguf_bytes(t.format, t.shape);
    if (bytes == 0) {
      std::string extents;
      for (const std::size_t e : t.shape) extents += (extents.empty() ? "" : " x ") + std::to_string(e);
      refuse_input(where_, "tensor " + t.name + " of " + extents + " in " + t.format,
                   "one of " + std::string(readable) + ", in rows of whole blocks: 32, 64, 128 or 256 weights");
    }
    h.put(std::string_view(t.name));
    h.put(static_cast<std::uint32_t>(t.shape.size()));
    for (std::size_t i = t.shape.size(); i-- > 0;) h.put(std::uint64_t{t.shape[i]});
    h.put(format_of(std::string_view(t.format))->number);
    h.put(std::uint64_t{offset});
    offset += padded(bytes, default_alignment);
    sizes_.push_back(bytes);
    names.push_back(t.name);
  }
  std::ranges::sort(names);
  if (const auto twice = std::ranges::adjacent_find(names); twice != names.end())
    refuse_input(where_, "tensor " + std::string(*twice) + " twice", "each tensor once");
  h.out.resize(padded(h.out.size(), default_alignment));
  file_.write(h.out);
}

void gguf_writer::write(std::span<const std::byte> tensor) {
  PRECIS_EXPECTS(next_ < sizes_.size() && tensor.size() == sizes_[next_], "the whole next tensor");
  file_.write(tensor);
  const std::string zeros(padded(tensor.size(), default_alignment) - tensor.size(), '\0');
  file_.write(zeros);
  ++next_;
}

void gguf_writer::commit() {
  if (next_ != sizes_.size())
    refuse_input(where_, std::to_string(next_) + " tensors written", std::to_string(sizes_.size()) + ", as declared");
  file_.commit();
}

bool has_gguf_name(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return extension == ".gguf";
}

}  // namespace engine
