#pragma once

#include <engine/model/weights.hpp>

#include <precis/core/unit.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What distinguishes the model families, as data: names, shapes and order of their tensors.
namespace engine {

/// An extent of a block's map.
enum class extent { width, kv_width, three_widths, hidden };
[[nodiscard]] std::size_t size_of(extent e, const config& c) noexcept;

/// A norm or a linear map of a block, under its name within the block.
struct block_part {
  std::string_view name;  ///< "attn.c_attn"
  engine::norm block::* norm = nullptr;
  linear block::* map = nullptr;  ///< exactly one of the two
  precis::part part = precis::part::attention;
  extent out = extent::width, in = extent::width;
};

/// One family. Names are those of the files, without prefix; an empty name means that the family has no such tensor.
struct family {
  std::string_view name;        ///< "GPT-2"
  std::string_view model_type;  ///< in config.json
  std::string_view prefix;      ///< Hugging Face's, before every name but the head's
  bool causal = true;           ///< a position sees itself and earlier ones only
  bool in_major = false;        ///< maps are stored `in x out`
  bool biased = true;           ///< maps have biases, norms have shifts
  bool fused = false;           ///< one map makes query, key and value
  bool gated = false;           ///< the MLP has a gate
  bool rotary = false;
  bool halves = false;        ///< rotary pairs are features i and i + pairs of a head, not 2i and 2i + 1
  bool parallel = false;      ///< the MLP reads what attention reads, and both are added to the stream together
  bool shared_heads = false;  ///< several query heads may share a key-value head
  bool biased_head = false;
  std::size_t first_position = 0;  ///< row of the position table that belongs to a sequence's first token
  std::string_view token_embedding = {}, position_embedding = {}, type_embedding = {}, embedding_norm = {};
  std::string_view blocks = {};               ///< "h." of "h.0.attn.c_attn"
  std::span<const block_part> in_block = {};  ///< in file order
  std::string_view final_norm = {}, head = {}, pooler = {}, classifier = {};
};

[[nodiscard]] const family& family_of(architecture a) noexcept;
[[nodiscard]] inline const family& family_of(const config& c) noexcept { return family_of(c.architecture); }

/// What Hugging Face calls a tensor of this name in a whole model; a Llama's and a GPT-2's keep their names.
[[nodiscard]] std::string stored_name(const config& c, std::string_view name);

/// The block's parts that are linear maps: what can be compressed, in the order of matrices().
[[nodiscard]] std::vector<block_part> maps_of(const family& f);
/// What matrices() is for a model of this shape.
[[nodiscard]] std::vector<precis::matrix_info> matrices_of(const config& c);
/// The linear map of a matrix. Requires one of matrices_of(w.config).
[[nodiscard]] linear& map_of(weights& w, std::size_t matrix);
[[nodiscard]] const linear& map_of(const weights& w, std::size_t matrix);

/// Calls visit(name, shape, in_major, values) for every tensor of a shape in file order, where values(w) is the vector in
/// some weights `w` that holds it. Requires check(c) to pass, and of `values` that w has c.layers blocks.
template<class Visit>
void for_each_tensor(const config& c, Visit&& visit) {
  using extents = std::vector<std::size_t>;
  const family& f = family_of(c);
  const auto table = [&](std::string_view name, std::size_t rows, auto values) {
    if (!name.empty()) visit(std::string(name) + ".weight", extents{rows, c.width}, false, values);
  };
  const auto scale_and_shift = [&](const std::string& name, auto get) {
    visit(name + ".weight", extents{c.width}, false, [get](auto& w) -> auto& { return get(w).scale; });
    if (f.biased) visit(name + ".bias", extents{c.width}, false, [get](auto& w) -> auto& { return get(w).shift; });
  };
  const auto map = [&](const std::string& name, std::size_t out, std::size_t in, auto get) {
    visit(name + ".weight", f.in_major ? extents{in, out} : extents{out, in}, f.in_major,
          [get](auto& w) -> auto& { return get(w).values; });
    if (f.biased) visit(name + ".bias", extents{out}, false, [get](auto& w) -> auto& { return get(w).bias; });
  };

  table(f.token_embedding, c.vocabulary, [](auto& w) -> auto& { return w.token_embedding; });
  table(f.position_embedding, f.first_position + c.context, [](auto& w) -> auto& { return w.position_embedding; });
  table(f.type_embedding, c.token_types, [](auto& w) -> auto& { return w.type_embedding; });
  if (!f.embedding_norm.empty())
    scale_and_shift(std::string(f.embedding_norm), [](auto& w) -> auto& { return w.embedding_norm; });
  for (std::size_t l = 0; l < c.layers; ++l)
    for (const block_part& p : f.in_block) {
      const std::string name = std::string(f.blocks) + std::to_string(l) + "." + std::string(p.name);
      if (p.map != nullptr)
        map(name, size_of(p.out, c), size_of(p.in, c), [l, p](auto& w) -> auto& { return w.blocks[l].*p.map; });
      else
        scale_and_shift(name, [l, p](auto& w) -> auto& { return w.blocks[l].*p.norm; });
    }
  if (!f.final_norm.empty()) scale_and_shift(std::string(f.final_norm), [](auto& w) -> auto& { return w.final_norm; });
  if (!c.tied_head) table(f.head, c.vocabulary, [](auto& w) -> auto& { return w.head; });
  if (f.biased_head)
    visit(std::string(f.head) + ".bias", extents{c.vocabulary}, false, [](auto& w) -> auto& { return w.head_bias; });
  if (!f.pooler.empty()) map(std::string(f.pooler), c.width, c.width, [](auto& w) -> auto& { return w.pooler; });
  if (!f.classifier.empty())
    map(std::string(f.classifier), c.labels, c.width, [](auto& w) -> auto& { return w.classifier; });
}

}  // namespace engine
