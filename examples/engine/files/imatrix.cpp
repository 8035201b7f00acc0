#include <engine/files/imatrix.hpp>

#include <engine/files/files.hpp>
#include <engine/files/gguf.hpp>
#include <engine/files/messages.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view sums_end = ".in_sum2", counts_end = ".counts";

/// Refuses what cannot be sums of squares.
void check(const importance_sums& t, const std::string& name, std::string_view where) {
  const std::string tensor = "tensor \"" + precis::shown(name) + "\"";
  if (t.counts.empty() || t.sums.empty() || t.sums.size() % t.counts.size() != 0)
    refuse_input(
        where,
        tensor + " has " + std::to_string(t.sums.size()) + " sums and " + std::to_string(t.counts.size()) + " counts",
        "as many sums for each count");
  for (const std::vector<float>* values : {&t.sums, &t.counts})
    for (const float v : *values)
      if (!std::isfinite(v) || v < 0)
        refuse_input(where, tensor + " holds " + std::to_string(v), "sums of squares, and counts");
}

[[nodiscard]] std::vector<float> floats_of(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

[[nodiscard]] imatrix parse_gguf_form(std::span<const std::byte> file, std::string_view where) {
  const gguf_header h = parse_gguf(file, where);
  const gguf_keys keys(h, where);
  if (keys.text_or("general.type", "") != "imatrix") keys.refuse("general.type", "\"imatrix\", an importance matrix");
  imatrix m;
  m.chunks = keys.whole_number_or("imatrix.chunk_count", 0);
  m.chunk_size = keys.whole_number_or("imatrix.chunk_size", 0);
  if (keys.find("imatrix.datasets") != nullptr)
    for (const std::string_view name : keys.texts("imatrix.datasets")) m.datasets.emplace_back(name);
  for (const gguf_tensor& t : h.tensors) {
    const bool sums = t.name.ends_with(sums_end);
    if (!sums && !t.name.ends_with(counts_end))
      refuse_input(where, "tensor \"" + precis::shown(t.name) + "\"", "names that end in .in_sum2 or .counts");
    if (t.format != "float32")
      refuse_input(where, "tensor \"" + precis::shown(t.name) + "\" is in " + std::string(t.format), "float32");
    const std::string name = t.name.substr(0, t.name.size() - (sums ? sums_end : counts_end).size());
    (sums ? m.tensors[name].sums : m.tensors[name].counts) = floats_of(file.subspan(t.first_byte, t.bytes));
  }
  return m;
}

/// Reads the older form forward.
class old_file {
 public:
  old_file(std::span<const std::byte> file, std::string_view where) : rest_(file), where_(where) {}

  [[nodiscard]] std::size_t number(const char* what) {
    std::int32_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    if (value < 0) refuse_input(where_, std::string(what) + " of " + std::to_string(value), "an importance matrix");
    return static_cast<std::size_t>(value);
  }
  [[nodiscard]] std::string text(std::size_t bytes) {
    const auto taken = take(bytes);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  [[nodiscard]] std::span<const std::byte> take(std::size_t bytes) {
    if (bytes > rest_.size())
      refuse_input(where_, "the file ends within a tensor", "an importance matrix of llama-imatrix, not truncated");
    const auto taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }
  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
  std::string_view where_;
};

[[nodiscard]] imatrix parse_old_form(std::span<const std::byte> file, std::string_view where) {
  old_file from(file, where);
  imatrix m;
  const std::size_t tensors = from.number("a number of tensors");
  if (tensors == 0) refuse_input(where, "no tensors", "an importance matrix of llama-imatrix");
  for (std::size_t i = 0; i < tensors; ++i) {
    const std::string name = from.text(from.number("a length"));
    const std::size_t calls = from.number("a number of calls"), values = from.number("a number of values");
    importance_sums t{.sums = floats_of(from.take(values * sizeof(float))), .counts = {static_cast<float>(calls)}};
    if (calls == 0) t.counts = {1.f};  // the values are means
    if (!m.tensors.emplace(name, std::move(t)).second)
      refuse_input(where, "tensor \"" + precis::shown(name) + "\" twice", "each tensor once");
  }
  if (!from.at_end()) m.chunks = from.number("a number of chunks");
  if (!from.at_end()) m.datasets.push_back(from.text(from.number("a length")));
  return m;
}

void put(std::string& out, std::size_t value) {
  const auto number = static_cast<std::int32_t>(value);
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}
void put(std::string& out, const std::vector<float>& values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

/// The older form has one count for a tensor: its values are means times the number of chunks.
void write_old_form(const imatrix& m, const fs::path& path) {
  const std::size_t calls = std::max<std::size_t>(m.chunks, 1);
  std::string out;
  put(out, m.tensors.size());
  for (const auto& [name, t] : m.tensors) {
    put(out, name.size());
    out += name;
    put(out, calls);
    std::vector<float> values = t.means();
    for (float& v : values) v *= static_cast<float>(calls);
    put(out, values.size());
    put(out, values);
  }
  put(out, m.chunks);
  const std::string dataset = m.datasets.empty() ? "" : m.datasets.front();
  put(out, dataset.size());
  out += dataset;
  write_file(path, out);
}

}  // namespace

std::vector<float> importance_sums::means() const {
  std::vector<float> values = sums;
  const std::size_t columns = in();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float count = counts[i / columns];
    values[i] = count > 0 ? values[i] / count : 1.f;
  }
  return values;
}

imatrix parse_imatrix(std::span<const std::byte> file, std::string_view where) {
  const bool gguf = file.size() >= 4 && std::memcmp(file.data(), "GGUF", 4) == 0;
  imatrix m = gguf ? parse_gguf_form(file, where) : parse_old_form(file, where);
  for (const auto& [name, t] : m.tensors) check(t, name, where);
  return m;
}

imatrix read_imatrix(const fs::path& path) { return parse_imatrix(mapped_file(path).bytes(), path.string()); }

void write_imatrix(const imatrix& m, const fs::path& path) {
  if (path.extension() == ".dat") return write_old_form(m, path);
  const gguf_metadata keys{{"general.type", std::string("imatrix")},
                           {"imatrix.datasets", m.datasets},
                           {"imatrix.chunk_count", static_cast<std::uint32_t>(m.chunks)},
                           {"imatrix.chunk_size", static_cast<std::uint32_t>(m.chunk_size)}};
  std::vector<gguf_declaration> declared;
  for (const auto& [name, t] : m.tensors) {
    declared.push_back({name + std::string(sums_end), "float32", {t.counts.size(), t.in()}});
    declared.push_back({name + std::string(counts_end), "float32", {t.counts.size(), 1}});
  }
  gguf_writer writer(path, keys, declared);
  for (const auto& [name, t] : m.tensors)
    for (const std::vector<float>* values : {&t.sums, &t.counts}) writer.write(std::as_bytes(std::span(*values)));
  writer.commit();
}

}  // namespace engine
