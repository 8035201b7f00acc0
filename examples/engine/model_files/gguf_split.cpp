#include <engine/model_files/gguf_split.hpp>

#include <engine/files/messages.hpp>
#include <engine/model_files/gguf_parts.hpp>

#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

/// The number of tensors in each part: as many as fit, at least one.
[[nodiscard]] std::vector<std::size_t> part_sizes(std::span<const gguf_declaration> tensors, std::size_t most) {
  std::vector<std::size_t> counts{0};
  std::size_t bytes = 0;
  for (const gguf_declaration& t : tensors) {
    const std::size_t size = gguf_bytes(t.format, t.shape);
    if (most != 0 && counts.back() != 0 && bytes + size > most) {
      counts.push_back(0);
      bytes = 0;
    }
    bytes += size;
    ++counts.back();
  }
  return counts;
}

}  // namespace

void check_new_gguf(const fs::path& destination, const fs::path& source, bool may_replace) {
  std::error_code ignored;
  if (!may_replace && fs::exists(destination, ignored))
    refuse_input(destination.string(), "already exists", "a new file, or leave to replace it");
  if (fs::exists(destination, ignored) && fs::equivalent(source, destination, ignored))
    refuse_input(destination.string(), "the destination is the source", "another file");
}

gguf_files::gguf_files(const gguf_destination& to, gguf_metadata keys, std::span<const gguf_declaration> tensors)
    : left_(part_sizes(tensors, to.part_bytes)) {
  const std::size_t count = left_.size();
  if (count > 99'999)
    refuse_input(to.path.string(), std::to_string(count) + " files", "at most 99999: a larger size of each");
  if (to.part_bytes == 0)
    paths_.push_back(to.path);
  else
    for (std::size_t i = 0; i < count; ++i)
      paths_.emplace_back(to.path.parent_path() / gguf_part_name(to.path.stem().string(), i, count));
  for (const fs::path& path : paths_) check_new_gguf(path, to.source, to.may_replace);
  std::size_t first = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (to.part_bytes != 0) {
      keys.emplace_back("split.no", static_cast<std::uint16_t>(i));
      keys.emplace_back("split.count", static_cast<std::uint16_t>(count));
      keys.emplace_back("split.tensors.count", static_cast<std::int32_t>(tensors.size()));
    }
    writers_.push_back(std::make_unique<gguf_writer>(paths_[i], keys, tensors.subspan(first, left_[i])));
    first += left_[i];
    keys.clear();  // the first part alone has them
  }
}

void gguf_files::write(std::span<const std::byte> tensor) {
  while (left_[part_] == 0) ++part_;
  writers_[part_]->write(tensor);
  --left_[part_];
}

void gguf_files::commit() {
  for (const auto& writer : writers_) writer->commit();
}

}  // namespace engine
