#include <engine/model/family.hpp>

#include <engine/model/families/families.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <iterator>

namespace engine {
std::size_t size_of(extent e, const config& c) noexcept {
  switch (e) {
    case extent::kv_width: return c.kv_width();
    case extent::three_widths: return 3 * c.width;
    case extent::hidden: return c.hidden;
    case extent::width: break;
  }
  return c.width;
}

const family& family_of(architecture a) noexcept {
  switch (a) {
    case architecture::gpt2: return gpt2_family;
    case architecture::llama: return llama_family;
    case architecture::opt: return opt_family;
    case architecture::phi: return phi_family;
    case architecture::bert: break;
  }
  return bert_family;
}

namespace {
/// Whether a tensor is outside of what the family's prefix stands for.
[[nodiscard]] bool is_on_top(const family& f, std::string_view name) {
  return (!f.head.empty() && name.starts_with(f.head)) || (!f.classifier.empty() && name.starts_with(f.classifier));
}
}  // namespace

std::string stored_name(const config& c, std::string_view name) {
  const family& f = family_of(c);
  const bool plain = c.architecture == architecture::gpt2 || c.architecture == architecture::llama;
  return (plain || is_on_top(f, name) ? "" : std::string(f.prefix)) + std::string(name);
}

std::string hugging_face_name(const family& f, std::string_view name, bool prefixed) {
  std::string text = (prefixed && !is_on_top(f, name) ? "." + std::string(f.prefix) : ".") + std::string(name);
  for (const auto& [ours, theirs] : f.hugging_face_names)
    if (const std::size_t at = text.find("." + std::string(ours) + "."); at != std::string::npos)
      return text.replace(at + 1, ours.size(), theirs).substr(1);
  return text.substr(1);
}

std::vector<block_part> maps_of(const family& f) {
  std::vector<block_part> maps;
  std::ranges::copy_if(f.in_block, std::back_inserter(maps), [](const block_part& p) { return p.map != nullptr; });
  return maps;
}

std::vector<precis::matrix_info> matrices_of(const config& c) {
  const family& f = family_of(c);
  std::vector<precis::matrix_info> matrices;
  for (std::size_t l = 0; l < c.layers; ++l)
    for (const block_part& p : maps_of(f))
      matrices.push_back({.name = std::string(f.blocks) + std::to_string(l) + "." + std::string(p.name),
                          .layer = l,
                          .part = p.part,
                          .out = size_of(p.out, c),
                          .in = size_of(p.in, c)});
  return matrices;
}

linear& map_of(weights& w, std::size_t matrix) {
  const std::vector<block_part> maps = maps_of(family_of(w.config));
  PRECIS_EXPECTS(matrix < maps.size() * w.blocks.size(), "no such matrix");
  return w.blocks[matrix / maps.size()].*maps[matrix % maps.size()].map;
}
const linear& map_of(const weights& w, std::size_t matrix) {
  const std::vector<block_part> maps = maps_of(family_of(w.config));
  PRECIS_EXPECTS(matrix < maps.size() * w.blocks.size(), "no such matrix");
  return w.blocks[matrix / maps.size()].*maps[matrix % maps.size()].map;
}

}  // namespace engine
