#include <engine/files/safetensors.hpp>

#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>

#include <precis/core/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <set>
#include <utility>

namespace engine {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian and used in place");

struct type_row {
  dtype type;
  std::string_view name;
  std::size_t size;
};

constexpr std::array<type_row, 15> types{{{dtype::f64, "F64", 8},
                                          {dtype::f32, "F32", 4},
                                          {dtype::f16, "F16", 2},
                                          {dtype::bf16, "BF16", 2},
                                          {dtype::f8_e4m3, "F8_E4M3", 1},
                                          {dtype::f8_e5m2, "F8_E5M2", 1},
                                          {dtype::i64, "I64", 8},
                                          {dtype::i32, "I32", 4},
                                          {dtype::i16, "I16", 2},
                                          {dtype::i8, "I8", 1},
                                          {dtype::u64, "U64", 8},
                                          {dtype::u32, "U32", 4},
                                          {dtype::u16, "U16", 2},
                                          {dtype::u8, "U8", 1},
                                          {dtype::boolean, "BOOL", 1}}};

constexpr std::size_t largest_header = 100'000'000;  // the limit that the format defines

/// Bytes of a tensor, or nullopt if they do not fit in 63 bits.
[[nodiscard]] std::optional<std::size_t> bytes_of(dtype type, std::span<const std::size_t> shape) {
  constexpr std::size_t limit = std::numeric_limits<std::size_t>::max() / 2;
  std::size_t bytes = size_of(type);
  for (const std::size_t extent : shape) {
    if (extent != 0 && bytes > limit / extent) return std::nullopt;
    bytes *= extent;
  }
  return bytes;
}

/// One member of the header. Offsets are relative to the end of the header.
[[nodiscard]] tensor_entry parse_entry(const std::string& name, const json& value, std::string_view where) {
  const std::string tensor = "tensor \"" + precis::shown(name) + "\"";
  const json_object entry(value, std::string(where) + ": " + tensor);
  tensor_entry t{.name = name, .type = dtype::u8, .shape = {}, .first_byte = 0, .bytes = 0, .file = 0};

  const std::string word = entry.text("dtype");
  const std::optional<dtype> type = parse_dtype(word);
  if (!type) entry.refuse("the type \"" + precis::shown(word) + "\"", "F32, F16, BF16 or another type of whole bytes");
  t.type = *type;

  const json* shape = entry.find("shape");
  if (shape == nullptr || !shape->is_array() || !std::ranges::all_of(*shape, &json::is_number_unsigned))
    entry.refuse("key \"shape\" is missing or mistyped", "a list of whole numbers");
  for (const json& extent : *shape) t.shape.push_back(extent.get<std::size_t>());

  const json* offsets = entry.find("data_offsets");
  if (offsets == nullptr || !offsets->is_array() || offsets->size() != 2 ||
      !std::ranges::all_of(*offsets, &json::is_number_unsigned))
    entry.refuse("key \"data_offsets\" is missing or mistyped", "a list of two whole numbers");
  const auto begin = (*offsets)[0].get<std::size_t>(), end = (*offsets)[1].get<std::size_t>();
  if (begin > end)
    entry.refuse("data end at " + std::to_string(end) + " before they begin at " + std::to_string(begin),
                 "begin <= end");
  t.first_byte = begin;
  t.bytes = end - begin;

  const std::optional<std::size_t> bytes = bytes_of(t.type, t.shape);
  if (!bytes) entry.refuse("a shape whose size overflows", "a tensor that fits in memory");
  if (*bytes != t.bytes)
    entry.refuse(std::to_string(t.bytes) + " bytes of data", std::to_string(*bytes) + " for its type and shape");
  return t;
}

}  // namespace

std::string_view to_string(dtype type) noexcept { return types[static_cast<std::size_t>(type)].name; }
std::size_t size_of(dtype type) noexcept { return types[static_cast<std::size_t>(type)].size; }

std::optional<dtype> parse_dtype(std::string_view word) noexcept {
  for (const type_row& row : types)
    if (row.name == word) return row.type;
  return std::nullopt;
}

safetensors_header parse_safetensors(std::span<const std::byte> file, std::string_view where) {
  std::uint64_t length = 0;
  if (file.size() < sizeof length)
    refuse_input(where, "only " + std::to_string(file.size()) + " bytes", "a safetensors file of at least 8");
  std::memcpy(&length, file.data(), sizeof length);
  if (length > largest_header)
    refuse_input(where, "a header of " + std::to_string(length) + " bytes",
                 "at most 100 MB: is this a safetensors file?");
  const std::span<const std::byte> rest = file.subspan(sizeof length);
  if (length > rest.size())
    refuse_input(where, "a header of " + std::to_string(length) + " bytes in a file of " + std::to_string(file.size()),
                 "a safetensors file that is not truncated");
  const auto header_bytes = static_cast<std::size_t>(length);
  const std::size_t data_bytes = rest.size() - header_bytes;

  const json header =
      parse_json({reinterpret_cast<const char*>(rest.data()), header_bytes}, std::string(where) + ": header");
  if (!header.is_object()) refuse_input(where, "a header that is " + type_of(header), "an object");

  safetensors_header result;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      result.tensors.push_back(parse_entry(name, value, where));
      continue;
    }
    if (!value.is_object()) refuse_input(where, "\"__metadata__\" is " + type_of(value), "an object of strings");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string())
        refuse_input(where, "\"__metadata__\" entry \"" + precis::shown(key) + "\" is " + type_of(text), "a string");
      result.metadata.emplace(key, text.get<std::string>());
    }
  }

  std::ranges::sort(result.tensors, {},
                    [](const tensor_entry& t) { return std::pair(t.first_byte, t.first_byte + t.bytes); });
  std::size_t next = 0;
  for (tensor_entry& t : result.tensors) {
    if (t.first_byte < next)
      refuse_input(where, "the data of tensor \"" + precis::shown(t.name) + "\" overlap those of the tensor before it",
                   "contiguous tensors");
    if (t.first_byte > next)
      refuse_input(
          where,
          "a gap of " + std::to_string(t.first_byte - next) + " bytes before tensor \"" + precis::shown(t.name) + "\"",
          "contiguous tensors");
    next = t.first_byte + t.bytes;
    if (next > data_bytes)
      refuse_input(where,
                   "tensor \"" + precis::shown(t.name) + "\" ends at byte " + std::to_string(next) + " of " +
                       std::to_string(data_bytes),
                   "a file that is not truncated");
    t.first_byte += sizeof length + header_bytes;
  }
  if (next != data_bytes)
    refuse_input(where, std::to_string(data_bytes - next) + " bytes after the last tensor",
                 "a file that ends with its last tensor");
  return result;
}

safetensors::safetensors(const std::filesystem::path& path) {
  if (path.extension() == ".json")
    add_index(path);
  else
    add(path);
}

void safetensors::add(const std::filesystem::path& path) {
  mapped_file file(path);
  safetensors_header header = parse_safetensors(file.bytes(), path.string());
  for (tensor_entry& t : header.tensors) {
    t.file = files_.size();
    const auto [at, fresh] = by_name_.emplace(t.name, tensors_.size());
    if (!fresh)
      refuse_input(path.string(),
                   "tensor \"" + precis::shown(t.name) + "\" is also in " + file_name(tensors_[at->second]),
                   "each tensor in one file");
    tensors_.push_back(std::move(t));
  }
  if (files_.empty()) metadata_ = std::move(header.metadata);
  files_.push_back(std::move(file));
  names_.push_back(path.filename().string());
}

void safetensors::add_index(const std::filesystem::path& path) {
  const mapped_file file(path);
  const std::string where = path.string();
  const json root = parse_json(file.text(), where);
  const json* map = json_object(root, where).find("weight_map");
  if (map == nullptr || !map->is_object())
    refuse_input(where, "key \"weight_map\" is missing or not an object", "tensor names and their files");

  std::set<std::string> shards;
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string())
      refuse_input(where, "tensor \"" + precis::shown(name) + "\" is in " + type_of(shard), "the name of a file");
    const auto& text = shard.get_ref<const std::string&>();
    if (text.empty() || text == "." || text == ".." ||
        text.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
      refuse_input(where, "tensor \"" + precis::shown(name) + "\" is in \"" + precis::shown(text) + "\"",
                   "the name of a file in the same folder");
    shards.insert(text);
  }
  for (const std::string& shard : shards) add(path.parent_path() / shard);
  for (const auto& [name, shard] : map->items()) {
    const tensor_entry* t = find(name);
    if (t == nullptr || file_name(*t) != shard.get_ref<const std::string&>())
      refuse_input(
          where,
          "tensor \"" + precis::shown(name) + "\" is not in " + precis::shown(shard.get_ref<const std::string&>()),
          "an index that matches its files");
  }
  if (map->size() != tensors_.size())
    for (const tensor_entry& t : tensors_)
      if (!map->contains(t.name))
        refuse_input(where, "tensor \"" + precis::shown(t.name) + "\" of " + file_name(t) + " is not listed",
                     "an index that matches its files");
}

const tensor_entry* safetensors::find(std::string_view name) const noexcept {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &tensors_[at->second];
}

std::span<const std::byte> safetensors::bytes(const tensor_entry& tensor) const noexcept {
  return files_[tensor.file].bytes().subspan(tensor.first_byte, tensor.bytes);
}

safetensors_writer::safetensors_writer(const std::filesystem::path& path, std::span<const tensor_declaration> tensors,
                                       const std::map<std::string, std::string, std::less<>>& metadata)
    : where_(path.string()), file_(path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string_view> names{"__metadata__"};
  for (const tensor_declaration& t : tensors) {
    if (!names.insert(t.name).second)
      refuse_input(where_, "tensor \"" + precis::shown(t.name) + "\" is declared twice", "each name once");
    const std::optional<std::size_t> bytes = bytes_of(t.type, t.shape);
    if (!bytes || *bytes > std::numeric_limits<std::size_t>::max() / 2 - expected_)
      refuse_input(where_, "tensor \"" + precis::shown(t.name) + "\" has a shape whose size overflows",
                   "a tensor that fits on a disk");
    header[t.name] = {
        {"dtype", to_string(t.type)}, {"shape", t.shape}, {"data_offsets", {expected_, expected_ + *bytes}}};
    expected_ += *bytes;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  // Aligns the data, so that readers can use them in place.
  text.append((safetensors_alignment - (text.size() + 8) % safetensors_alignment) % safetensors_alignment, ' ');
  const std::uint64_t length = text.size();
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(text);
}

void safetensors_writer::write(std::span<const std::byte> bytes) {
  written_ += bytes.size();
  if (written_ <= expected_) file_.write(bytes);
}

void safetensors_writer::commit() {
  if (written_ != expected_)
    refuse_input(where_, std::to_string(written_) + " bytes of tensors were written",
                 std::to_string(expected_) + " as declared");
  file_.commit();
}

}  // namespace engine
