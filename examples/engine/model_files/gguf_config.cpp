#include <engine/model_files/gguf_config.hpp>

#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/files/safetensors.hpp>
#include <engine/model/family.hpp>
#include <engine/model/gguf_family.hpp>
#include <engine/model/known_keys.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>

// What is read: a file's keys become those of a config.json, which the family's own reader takes.

namespace engine {
namespace {

/// Keys that every architecture may have and that are honoured, or are refused by the code that reads them.
constexpr std::string_view usual_gguf_keys =
    ".block_count .embedding_length .attention.head_count .attention.head_count_kv .feed_forward_length "
    ".context_length .vocab_size .attention.key_length .attention.value_length .rope.dimension_count "
    ".attention.layer_norm_rms_epsilon .attention.layer_norm_epsilon .rope.freq_base .rope.scaling.type "
    ".rope.scaling.factor .rope.scaling.original_context_length .rope.scaling.attn_factor "
    ".rope.scaling.yarn_beta_fast .rope.scaling.yarn_beta_slow .rope.scaling.finetuned";

/// The families of an architecture, the usual one first.
[[nodiscard]] const family& family_in(const gguf_reader& g, const gguf_keys& keys) {
  const std::string_view stated = keys.text_or("precis.model_type", "");
  const family* first = nullptr;
  std::string known;
  for (const family* const f : all_families()) {
    if (f->gguf == nullptr) continue;
    if (!has_word(known, f->gguf->architecture))
      known += (known.empty() ? "" : " ") + std::string(f->gguf->architecture);
    if (f->gguf->architecture != g.architecture()) continue;
    if (f->model_type == stated) return *f;
    if (first == nullptr && (f->gguf->is_of == nullptr || f->gguf->is_of(g))) first = f;
  }
  if (first == nullptr) keys.refuse("general.architecture", "one of " + known);
  return *first;
}

/// The plain values in a metadata value. Errors: a list that is longer than any that a model needs.
[[nodiscard]] std::vector<plain_value> plain_values(const gguf_value& value, std::string_view key,
                                                    const gguf_keys& keys) {
  std::vector<plain_value> values;
  const auto add = [&](const gguf_value& v) {
    if (const auto* flag = std::get_if<bool>(&v))
      values.emplace_back(*flag);
    else if (const auto* text = std::get_if<std::string_view>(&v))
      values.emplace_back(std::string(*text));
    else if (const auto* real = std::get_if<double>(&v))
      values.emplace_back(*real);
    else if (const auto* whole = std::get_if<std::uint64_t>(&v))
      values.emplace_back(*whole);
    else if (const std::int64_t number = std::get<std::int64_t>(v); number < 0)
      values.emplace_back(static_cast<double>(number));
    else
      values.emplace_back(static_cast<std::uint64_t>(number));
  };
  if (const auto* array = std::get_if<gguf_array>(&value)) {
    if (array->count > (std::size_t{1} << 16)) keys.refuse(key, "at most one value per layer");
    for (const gguf_value& v : elements_of(*array)) add(v);
  } else {
    add(value);
  }
  return values;
}

/// Refuses a key that asks for what the engine does not do. Returns warnings.
[[nodiscard]] std::vector<std::string> check_keys(const gguf_header& h, const gguf_keys& keys, const family& f,
                                                  std::size_t context) {
  std::vector<std::string> unknown;
  const std::string_view architecture = f.gguf->architecture;
  for (const auto& [key, value] : h.metadata) {
    const bool own = key.starts_with(std::string(architecture) + ".");
    const std::string_view rest = own ? std::string_view(key).substr(architecture.size()) : key;
    if (own && (has_word(usual_gguf_keys, rest) || has_word(f.gguf->honours, rest) ||
                std::ranges::any_of(f.gguf->keys, [&](const auto& pair) { return pair.first == rest; })))
      continue;
    const key_row* const row = find_key(gguf_model_keys(), rest, architecture);
    if (row == nullptr && own) unknown.push_back(key);
    if (row == nullptr || row->use == key_use::read || row->use == key_use::ignored) continue;
    if (const std::string expected = expected_instead(*row, plain_values(value, key, keys), context); !expected.empty())
      keys.refuse(key, expected + (row->use == key_use::extent ? "" : ", which is all that this engine supports"));
  }
  if (unknown.empty()) return {};
  return {std::string(keys.where()) + ": keys that this engine does not know: " + joined(unknown)};
}

constexpr std::size_t largest_extent = std::size_t{1} << 28;

[[nodiscard]] std::size_t extent(const gguf_reader& g, std::string_view rest) {
  const std::size_t n = g.keys().whole_number(g.key(rest));
  if (n == 0 || n > largest_extent) g.keys().refuse(g.key(rest), "a whole number from 1 to 2^28");
  return n;
}
/// An extent of all layers, or the largest of layers that may differ.
[[nodiscard]] std::size_t extent_of_layers(const gguf_reader& g, const family& f, std::string_view rest,
                                           std::size_t layers) {
  const std::size_t n =
      f.gguf->varies ? std::ranges::max(g.per_layer(rest, layers)) : g.keys().repeated_number(g.key(rest), layers);
  if (n == 0 || n > largest_extent) g.keys().refuse(g.key(rest), "a whole number from 1 to 2^28");
  return n;
}

/// Rotary positions but for their scaling.
void add_rotary(const gguf_reader& g, const family& f, json& j) {
  if (!f.gguf->rotary) return;
  j["rope_theta"] = 10000;  // llama.cpp's default, whatever the family's is
  if (g.has(".rope.freq_base")) {
    const double theta = g.number_or(".rope.freq_base", 10000);
    if (!(theta > 0)) g.keys().refuse(g.key(".rope.freq_base"), "a positive number");
    j["rope_theta"] = theta;
  }
  if (!g.has(".rope.dimension_count") || !j.contains("head_dim")) return;
  const std::size_t head = j["head_dim"].get<std::size_t>(), rotated = g.whole_or(".rope.dimension_count", 0);
  if (f.gguf->whole_heads && rotated != head) g.keys().refuse(g.key(".rope.dimension_count"), std::to_string(head));
  if (rotated == 0 || rotated > head || rotated % 2 != 0)
    g.keys().refuse(g.key(".rope.dimension_count"), "an even number up to the head width of " + std::to_string(head));
  // The quarter keeps the product with the head width above the number.
  j["partial_rotary_factor"] =
      rotated == head ? 1.0 : (static_cast<double>(rotated) + 0.25) / static_cast<double>(head);
}

/// What most families have, under all the names that they give to it.
[[nodiscard]] json usual_config(const gguf_reader& g, const family& f) {
  json j = json::object();
  const std::size_t layers = extent(g, ".block_count");
  if (layers > (std::size_t{1} << 16))
    refuse_input(g.keys().where(), "too few tensors for " + std::to_string(layers) + " layers", "1 to 2^16 layers");
  const auto all = [&](std::string_view rest) { return extent_of_layers(g, f, rest, layers); };
  const auto same = [&](std::initializer_list<const char*> names, const json& value) {
    for (const char* const name : names) j[name] = value;
  };
  const std::size_t width = extent(g, ".embedding_length"), heads = all(".attention.head_count");
  same({"num_hidden_layers", "n_layer", "n_layers", "num_layers"}, layers);
  same({"hidden_size", "n_embd", "dim", "d_model"}, width);
  same({"num_attention_heads", "n_head", "n_heads", "num_heads"}, heads);
  same({"num_key_value_heads"}, g.has(".attention.head_count_kv") ? all(".attention.head_count_kv") : heads);
  const std::size_t hidden =
      f.gguf->varies ? g.per_layer(".feed_forward_length", layers).front() : all(".feed_forward_length");
  same({"intermediate_size", "n_inner", "hidden_dim", "d_ff"}, hidden);
  same({"max_position_embeddings", "n_positions"}, extent(g, ".context_length"));
  const gguf_tensor* const table = g.tensor("token_embd.weight");
  j["vocab_size"] = table == nullptr ? 1 : table->shape.front();  // if it is missing, the error comes with the others'
  if (g.has(".attention.key_length"))
    same({"head_dim", "d_kv"}, extent(g, ".attention.key_length"));
  else if (heads != 0 && width % heads == 0)
    same({"head_dim", "d_kv"}, width / heads);
  if (j.contains("head_dim") && g.whole_or(".attention.value_length", j["head_dim"]) != j["head_dim"])
    g.keys().refuse(g.key(".attention.value_length"),
                    std::to_string(j["head_dim"].get<std::size_t>()) + ", as many as a key has");
  const std::string_view epsilon_key =
      f.gguf->layer_norm ? ".attention.layer_norm_epsilon" : ".attention.layer_norm_rms_epsilon";
  const double epsilon = g.number_or(epsilon_key, 1e-5);
  if (!(epsilon > 0) || static_cast<float>(epsilon) == 0) g.keys().refuse(g.key(epsilon_key), "a positive number");
  same({"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps"}, epsilon);
  add_rotary(g, f, j);
  const bool tied = g.tensor("output.weight") == nullptr;
  same({"tie_word_embeddings", "tie_embedding"}, tied);
  const std::string b = std::string(f.gguf->blocks) + "0.";
  const auto biased = [&](std::string_view name) { return g.tensor(b + std::string(name) + ".bias") != nullptr; };
  j["attention_bias"] = biased("attn_q") || biased("attn_qkv");
  j["mlp_bias"] = biased("ffn_up");
  const auto honoured = [&](std::string_view rest) { return g.has(rest) && has_word(f.gguf->honours, rest); };
  if (honoured(".expert_count")) same({"num_experts", "num_local_experts"}, g.whole_or(".expert_count", 0));
  if (honoured(".expert_used_count")) same({"num_experts_per_tok"}, g.whole_or(".expert_used_count", 0));
  if (honoured(".expert_feed_forward_length")) j["moe_intermediate_size"] = extent(g, ".expert_feed_forward_length");
  return j;
}

[[nodiscard]] std::vector<double> divisors(const gguf_tensor& t, std::string_view where) {
  if (t.shape.size() != 1 || t.format != "float32" || t.data.size() != t.shape[0] * sizeof(float))
    refuse_input(where, "tensor \"" + t.name + "\" in " + std::string(t.format), "a vector in float32");
  std::vector<float> values(t.shape[0]);
  decode(dtype::f32, t.data, values);
  if (!std::ranges::all_of(values, [](float v) { return v > 0 && std::isfinite(v); }))
    refuse_input(where, "tensor \"" + t.name + "\" holds a divisor that is not a positive number", "positive numbers");
  return {values.begin(), values.end()};
}

/// Scaled rotary positions, as config.json's rope_scaling; null if they are not scaled.
[[nodiscard]] json scaling(const gguf_reader& g, std::string_view where) {
  const std::string_view type = g.keys().text_or(g.key(".rope.scaling.type"), "");
  const double factor = g.number_or(".rope.scaling.factor", 0);
  const std::size_t context = extent(g, ".context_length");
  const std::size_t original = g.whole_or(".rope.scaling.original_context_length", context);
  const gguf_tensor *const both = g.tensor("rope_freqs.weight"), *const longer = g.tensor("rope_factors_long.weight"),
                           *const shorter = g.tensor("rope_factors_short.weight");
  if (longer != nullptr && shorter != nullptr)
    return {{"rope_type", "longrope"},
            {"original_max_position_embeddings", original},
            {"attention_factor", g.number_or(".rope.scaling.attn_factor", 1)},
            {"long_factor", divisors(*longer, where)},
            {"short_factor", divisors(*shorter, where)}};
  if (both != nullptr && g.architecture() != "gemma4") {
    const std::vector<double> all = divisors(*both, where);
    return {{"rope_type", "longrope"},
            {"original_max_position_embeddings", context},
            {"attention_factor", 1.0},
            {"long_factor", all},
            {"short_factor", all}};
  }
  if (type == "yarn") {
    json j{{"rope_type", "yarn"},
           {"factor", factor},
           {"original_max_position_embeddings", original},
           {"beta_fast", g.number_or(".rope.scaling.yarn_beta_fast", 32)},
           {"beta_slow", g.number_or(".rope.scaling.yarn_beta_slow", 1)}};
    if (g.has(".rope.scaling.attn_factor"))
      j["attention_factor"] = g.number_or(".rope.scaling.attn_factor", 1) * (1 + 0.1 * std::log(factor));
    if (g.architecture() == "mistral3" && g.has(".rope.scaling.yarn_log_multiplier"))
      j["mscale"] = j["mscale_all_dim"] = g.number_or(".rope.scaling.yarn_log_multiplier", 1);
    return j;
  }
  if (g.number_or(".rope.scaling.attn_factor", 1) != 1)
    g.keys().refuse(g.key(".rope.scaling.attn_factor"), "1 with rotary positions that are not scaled");
  if (!type.empty() && type != "linear" && type != "none")
    g.keys().refuse(g.key(".rope.scaling.type"), "none, linear, yarn or longrope with its tensors");
  if (type == "none" || factor == 0 || factor == 1) return nullptr;
  return {{"rope_type", "linear"}, {"factor", factor}};
}

/// Whether rotary positions are what a file's keys and tensors say.
[[nodiscard]] bool agrees(const config& c, const gguf_header& h, const gguf_keys& keys) {
  const gguf_settings expected = gguf_rope_of(c);
  for (const auto& [key, item] : expected.keys) {
    const gguf_value* const found = keys.find(key);
    if (key.starts_with("precis.")) continue;
    if (found == nullptr) return false;
    if (const auto* real = std::get_if<float>(&item)) {
      const auto* const value = std::get_if<double>(found);
      if (value == nullptr || static_cast<float>(*value) != *real) return false;
    }
  }
  for (const gguf_divisors& d : expected.divisors) {
    const auto at = std::ranges::find(h.tensors, d.name, &gguf_tensor::name);
    if (at == h.tensors.end() || at->format != "float32" || at->shape != std::vector{d.values.size()}) return false;
    std::vector<float> values(d.values.size());
    decode(dtype::f32, at->data, values);
    for (std::size_t i = 0; i < values.size(); ++i)
      if (std::abs(values[i] / d.values[i] - 1) > 1e-6f) return false;
  }
  return true;
}

/// What a family's reader may not have looked at.
void check_extents(const config& c, const gguf_reader& g) {
  if (g.tensor("token_embd.weight") != nullptr && g.whole_or(".vocab_size", c.vocabulary) != c.vocabulary)
    g.keys().refuse(g.key(".vocab_size"), std::to_string(c.vocabulary));
  if (!g.has(".attention.key_length")) return;
  const std::size_t stated = g.whole_or(".attention.key_length", 0);
  const knobs k = settings_of(c);
  std::size_t head = 0;
  for (const layer_settings& l : k.layers)
    if (l.head_width != 0) {
      head = l.head_width;
      if (head == stated) return;
    }
  if (head != 0) g.keys().refuse(g.key(".attention.key_length"), std::to_string(head));
}

}  // namespace

config read_gguf_config(const gguf_header& h, std::string_view where, std::vector<std::string>& warnings) {
  const gguf_keys keys(h, where);
  const std::string_view name = keys.text("general.architecture");
  const gguf_reader g(h, keys, name);
  const family& f = family_in(g, keys);
  json j = usual_config(g, f);
  if (!f.gguf->states.empty()) j.update(json::parse(f.gguf->states));
  for (const auto& [from, to] : f.gguf->keys)
    if (g.has(from)) {
      const gguf_value& value = *keys.find(g.key(from));
      if (std::holds_alternative<std::uint64_t>(value) || std::holds_alternative<std::int64_t>(value))
        j[std::string(to)] = keys.whole_number(g.key(from));
      else if (const auto* flag = std::get_if<bool>(&value))
        j[std::string(to)] = *flag;
      else
        j[std::string(to)] = g.number_or(from, 0);
    }
  const json scaled = scaling(g, where);
  const auto read = [&](const json& rope) {
    json all = j;
    if (!rope.is_null()) all["rope_scaling"] = rope;
    if (f.gguf->complete != nullptr) f.gguf->complete(g, all);
    config c = f.read_config(json_object(all, std::string(where)));
    check(c, where);
    return c;
  };
  std::optional<config> c;
  // What this program has written says more than llama.cpp's keys can; it counts if those agree with it.
  if (const std::string_view stated = keys.text_or("precis.rope_scaling", ""); !stated.empty() && !scaled.is_null())
    if (const json rope = json::parse(stated, nullptr, false); rope.is_object()) {
      c = read(rope);
      if (!agrees(*c, h, keys)) c.reset();
    }
  if (!c) c = read(scaled);
  check_extents(*c, g);
  warnings = check_keys(h, keys, f, c->context);
  return std::move(*c);
}

}  // namespace engine
