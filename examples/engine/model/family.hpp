#pragma once

#include <engine/model/slots.hpp>
#include <engine/model/tensor_part.hpp>
#include <engine/model/weights.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The properties of a model family, as data: the names, shapes and order of its tensors, and its configuration keys.
namespace engine {

/// The name of a tensor in this engine, and its name in another engine's files.
using name_pair = std::pair<std::string_view, std::string_view>;

/// The engine's tensor for a name in a file.
struct tensor_meaning {
  std::string name;         ///< empty: a buffer that is not a weight
  bool half_split = false;  ///< rotary maps: rows are paired (i, i + half), as in Hugging Face's files
};

class json_object;
struct gguf_family;

/// One family. Names are those in files, without prefix. An empty name means that the family has no such tensor.
struct family {
  std::string_view name;                ///< "GPT-2"
  std::string_view model_type;          ///< in config.json
  std::string_view hugging_face_class;  ///< "GPT2LMHeadModel"
  std::string_view prefix;              ///< Hugging Face's prefix of every name except the head's
  bool causal = true;                   ///< a position attends only to itself and earlier ones
  bool in_major = false;                ///< maps are stored `in x out`
  std::size_t first_position = 0;       ///< row of the position table for the first token of a sequence
  std::string_view token_embedding = {}, position_embedding = {}, type_embedding = {}, embedding_projection = {},
                   layer_embedding = {}, layer_projection = {}, layer_norm = {}, embedding_norm = {},
                   relative_bias = {};
  std::string_view blocks = {};         ///< "h." of "h.0.attn.c_attn"
  std::span<const slot> in_block = {};  ///< in file order
  std::string_view final_norm = {}, head_projection = {}, head = {}, pooler = {}, classifier = {};

  std::span<const name_pair> hugging_face_names = {};  ///< of the parts of names that differ in Hugging Face's files
  std::string_view nested = {};  ///< the object of config.json that holds the language model's keys, if there is one
  std::string_view keys = {};    ///< of config.json that read_config honours, beside those of known_keys.cpp

  const gguf_family* gguf = nullptr;  ///< how llama.cpp holds the family; null: it does not know it

  config (*read_config)(const json_object& keys) = nullptr;  ///< reads Hugging Face's config.json
  /// Writes the keys that are specific to the family. Null: config.json is written as it was read.
  void (*write_config)(const config& c, nlohmann::ordered_json& keys) = nullptr;
  tensor_meaning (*meaning_of)(std::string_view stored) = nullptr;  ///< interprets Hugging Face's tensor names
  /// The settings of a model without knobs. Null: every model of the family has knobs.
  knobs (*usual)(const config& c) = nullptr;
  /// Where files keep a tensor that is not one of theirs; nothing if it is. Null: all are.
  std::optional<tensor_part> (*part_of)(const config& c, const knobs& k, std::string_view name) = nullptr;
  /// Whether files hold a tensor that a model does not use. Null: no other than those that meaning_of leaves out.
  bool (*is_unused)(const knobs& k, std::string_view name) = nullptr;
};

/// All families, in the order of `architecture`.
[[nodiscard]] std::span<const family* const> all_families() noexcept;
[[nodiscard]] const family& family_of(architecture a) noexcept;
[[nodiscard]] inline const family& family_of(const config& c) noexcept { return family_of(c.architecture); }

/// Hugging Face's name of a tensor in a complete model. GPT-2's and Llama's tensors keep their names.
[[nodiscard]] std::string stored_name(const config& c, std::string_view name);

/// Whether the family's files keep a tensor as a part of another.
[[nodiscard]] bool is_part(const config& c, std::string_view name);

/// The name of a tensor in Hugging Face's files, with or without the family's prefix.
[[nodiscard]] std::string hugging_face_name(const family& f, std::string_view name, bool prefixed);

/// Calls visit(name, shape, in_major, values) for every tensor of a model in file order, where values(w) is the
/// tensor's vector in weights `w`. Requires check(c) to pass, and that `w` has c.layers blocks.
template<class Visit>
void for_each_tensor(const config& c, Visit&& visit) {
  using extents = std::vector<std::size_t>;
  const family& f = family_of(c);
  const knobs k = settings_of(c);
  const auto table = [&](std::string_view name, std::size_t rows, std::size_t columns, auto values) {
    if (!name.empty()) visit(std::string(name) + ".weight", extents{rows, columns}, false, values);
  };
  const auto scale_and_shift = [&](const std::string& name, std::size_t size, auto get) {
    if (!k.norm_scale) return;
    visit(name + ".weight", extents{size}, false, [get](auto& w) -> auto& { return get(w).scale; });
    if (!k.rms && k.norm_shift)
      visit(name + ".bias", extents{size}, false, [get](auto& w) -> auto& { return get(w).shift; });
  };
  const auto map = [&](const std::string& name, std::size_t out, std::size_t in, bool biased, auto get) {
    visit(name + ".weight", f.in_major ? extents{in, out} : extents{out, in}, f.in_major,
          [get](auto& w) -> auto& { return get(w).values; });
    if (biased) visit(name + ".bias", extents{out}, false, [get](auto& w) -> auto& { return get(w).bias; });
  };
  const std::size_t table_width = k.embedding_width != 0 ? k.embedding_width : c.width;
  const std::size_t layer_inputs = c.layers * k.layer_input_width;

  table(f.token_embedding, c.vocabulary, table_width, [](auto& w) -> auto& { return w.token_embedding; });
  const std::size_t skipped = k.padding == no_padding ? 0 : k.padding + 1;
  table(f.position_embedding, f.first_position + skipped + c.context, c.width,
        [](auto& w) -> auto& { return w.position_embedding; });
  table(f.type_embedding, c.token_types, c.width, [](auto& w) -> auto& { return w.type_embedding; });
  if (k.embedding_width != 0)
    map(std::string(f.embedding_projection), c.width, table_width, false,
        [](auto& w) -> auto& { return w.embedding_projection; });
  if (layer_inputs != 0) {
    table(f.layer_embedding, k.layer_input_vocabulary, layer_inputs,
          [](auto& w) -> auto& { return w.layer_embedding; });
    map(std::string(f.layer_projection), layer_inputs, c.width, false,
        [](auto& w) -> auto& { return w.layer_projection; });
    scale_and_shift(std::string(f.layer_norm), k.layer_input_width, [](auto& w) -> auto& { return w.layer_norm; });
  }
  if (!f.embedding_norm.empty())
    scale_and_shift(std::string(f.embedding_norm), c.width, [](auto& w) -> auto& { return w.embedding_norm; });
  if (k.relative_bias.rows != 0)
    table(f.relative_bias, k.relative_bias.rows, c.heads, [](auto& w) -> auto& { return w.relative_bias; });
  for (const place& p : places_of(c, k)) {
    const slot& s = *p.slot;
    const std::string name = name_of(c, p);
    const std::size_t out = size_of(s.out, c, k, k.layers[p.layer]);
    if (s.norm != nullptr)
      scale_and_shift(name, out, [p](auto& w) -> auto& { return w.blocks[p.layer].*p.slot->norm; });
    else if (s.values != nullptr)
      visit(name,
            s.values == &block::conv_kernel ? extents{out, 1, size_of(s.in, c, k, k.layers[p.layer])} : extents{out},
            false, [p](auto& w) -> auto& { return w.blocks[p.layer].*p.slot->values; });
    else
      map(name, out, size_of(s.in, c, k, k.layers[p.layer]), is_biased(s, k),
          [p](auto& w) -> auto& { return map_at(w, p); });
  }
  if (k.final_norm && !f.final_norm.empty())
    scale_and_shift(std::string(f.final_norm), c.width, [](auto& w) -> auto& { return w.final_norm; });
  if (k.embedding_width != 0)
    map(std::string(f.head_projection), table_width, c.width, false,
        [](auto& w) -> auto& { return w.head_projection; });
  if (!c.tied_head) table(f.head, c.vocabulary, table_width, [](auto& w) -> auto& { return w.head; });
  if (k.head_bias)
    visit(std::string(f.head) + ".bias", extents{c.vocabulary}, false, [](auto& w) -> auto& { return w.head_bias; });
  if (!f.pooler.empty() && c.labels != 0)
    map(std::string(f.pooler), c.width, c.width, true, [](auto& w) -> auto& { return w.pooler; });
  if (!f.classifier.empty() && c.labels != 0)
    map(std::string(f.classifier), c.labels, c.width, true, [](auto& w) -> auto& { return w.classifier; });
}

}  // namespace engine
