#pragma once

#include <engine/model/weights.hpp>

#include <precis/core/unit.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The properties of a model family, as data: the names, shapes and order of its tensors, and its configuration keys.
namespace engine {

/// A dimension of a block's map.
enum class extent { width, kv_width, three_widths, hidden };
[[nodiscard]] std::size_t size_of(extent e, const config& c) noexcept;

/// A norm or a linear map of a block, with its name in the block.
struct block_part {
  std::string_view name;  ///< "attn.c_attn"
  engine::norm block::* norm = nullptr;
  linear block::* map = nullptr;  ///< exactly one of norm and map is set
  precis::part part = precis::part::attention;
  extent out = extent::width, in = extent::width;
};

/// The name of a tensor in this engine, and its name in another engine's files.
using name_pair = std::pair<std::string_view, std::string_view>;

/// The engine's tensor for a name in a file.
struct tensor_meaning {
  std::string name;         ///< empty: a buffer that is not a weight
  bool half_split = false;  ///< rotary maps: rows are paired (i, i + half), as in Hugging Face's files
};

class json_object;

/// One family. Names are those in files, without prefix. An empty name means that the family has no such tensor.
struct family {
  std::string_view name;                ///< "GPT-2"
  std::string_view model_type;          ///< in config.json
  std::string_view hugging_face_class;  ///< "GPT2LMHeadModel"
  std::string_view prefix;              ///< Hugging Face's prefix of every name except the head's
  bool causal = true;                   ///< a position attends only to itself and earlier ones
  bool in_major = false;                ///< maps are stored `in x out`
  bool biased = true;                   ///< maps have biases, norms have shifts
  bool fused = false;                   ///< one map computes query, key and value
  bool gated = false;                   ///< the MLP has a gate
  bool rotary = false;
  bool rotary_halves = false;  ///< rotary pairs are features (i, i + pairs) of a head instead of (2i, 2i + 1)
  bool parallel = false;       ///< attention and MLP have the same input, and both are added to the residual
  bool shared_heads = false;   ///< several query heads may share a key-value head
  bool biased_head = false;
  std::size_t first_position = 0;  ///< row of the position table for the first token of a sequence
  std::string_view token_embedding = {}, position_embedding = {}, type_embedding = {}, embedding_norm = {};
  std::string_view blocks = {};               ///< "h." of "h.0.attn.c_attn"
  std::span<const block_part> in_block = {};  ///< in file order
  std::string_view final_norm = {}, head = {}, pooler = {}, classifier = {};

  std::span<const name_pair> hugging_face_names = {};  ///< of the parts of names that differ in Hugging Face's files
  std::span<const name_pair> gguf_block_names = {};  ///< llama.cpp's names of a block's tensors; empty: no GGUF support
  std::span<const name_pair> gguf_model_names = {};  ///< llama.cpp's names of all other tensors

  config (*read_config)(const json_object& keys) = nullptr;  ///< reads Hugging Face's config.json
  void (*write_config)(const config& c,
                       nlohmann::ordered_json& keys) = nullptr;     ///< writes the keys that are specific to the family
  tensor_meaning (*meaning_of)(std::string_view stored) = nullptr;  ///< interprets Hugging Face's tensor names
};

[[nodiscard]] const family& family_of(architecture a) noexcept;
[[nodiscard]] inline const family& family_of(const config& c) noexcept { return family_of(c.architecture); }

/// Hugging Face's name of a tensor in a complete model. GPT-2's and Llama's tensors keep their names.
[[nodiscard]] std::string stored_name(const config& c, std::string_view name);

/// The name of a tensor in Hugging Face's files, with or without the family's prefix.
[[nodiscard]] std::string hugging_face_name(const family& f, std::string_view name, bool prefixed);

/// The parts of a block that are linear maps, and so can be compressed, in the order of matrices().
[[nodiscard]] std::vector<block_part> maps_of(const family& f);
/// matrices() of a model of this shape.
[[nodiscard]] std::vector<precis::matrix_info> matrices_of(const config& c);
/// The linear map of a matrix. Requires one of matrices_of(w.config).
[[nodiscard]] linear& map_of(weights& w, std::size_t matrix);
[[nodiscard]] const linear& map_of(const weights& w, std::size_t matrix);

/// Calls visit(name, shape, in_major, values) for every tensor of a model in file order, where values(w) is the
/// tensor's vector in weights `w`. Requires check(c) to pass, and that `w` has c.layers blocks.
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
