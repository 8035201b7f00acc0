#include <engine/model/family.hpp>

#include <engine/model/families/families.hpp>

#include <algorithm>
#include <cstddef>

namespace engine {

std::span<const family* const> all_families() noexcept { return families; }

const family& family_of(architecture a) noexcept { return *families[static_cast<std::size_t>(a)]; }

namespace {
/// Whether a tensor is outside of what the family's prefix stands for.
[[nodiscard]] bool is_on_top(const family& f, std::string_view name) {
  return (!f.head.empty() && name.starts_with(f.head)) || (!f.classifier.empty() && name.starts_with(f.classifier));
}
}  // namespace

std::string stored_name(const config& c, std::string_view name) {
  const family& f = family_of(c);
  const bool plain = c.architecture == architecture::gpt2 || c.architecture == architecture::llama ||
                     (!f.causal && c.labels == 0);  // a bare encoder is not a part of another model
  return (plain || is_on_top(f, name) ? "" : std::string(f.prefix)) + std::string(name);
}

bool is_part(const config& c, std::string_view name) {
  const family& f = family_of(c);
  return f.part_of != nullptr && f.part_of(c, settings_of(c), name).has_value();
}

std::string hugging_face_name(const family& f, std::string_view name, bool prefixed) {
  std::string text = (prefixed && !is_on_top(f, name) ? "." + std::string(f.prefix) : ".") + std::string(name);
  for (const auto& [ours, theirs] : f.hugging_face_names)
    if (const std::size_t at = text.find("." + std::string(ours) + "."); at != std::string::npos)
      return text.replace(at + 1, ours.size(), theirs).substr(1);
  return text.substr(1);
}

}  // namespace engine
