#include <engine/model_files/gguf_config.hpp>

#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/model/families/config_keys.hpp>
#include <engine/model/family.hpp>
#include <engine/model/gguf_family.hpp>
#include <engine/model_files/gguf_layout.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

// What is written: keys, divisors of rotary frequencies, and what llama.cpp does otherwise.

namespace engine {
namespace {

[[nodiscard]] gguf_item number(std::size_t n) {
  return static_cast<std::uint32_t>(std::min<std::size_t>(n, std::numeric_limits<std::uint32_t>::max()));
}
/// One number, or one per layer where they differ.
[[nodiscard]] gguf_item numbers(const std::vector<std::size_t>& all) {
  if (std::ranges::all_of(all, [&](std::size_t n) { return n == all.front(); })) return number(all.front());
  std::vector<std::int32_t> list;
  for (const std::size_t n : all) list.push_back(static_cast<std::int32_t>(n));
  return list;
}

/// The float v for which 1 / v is `scale`.
[[nodiscard]] float reciprocal(float scale) {
  const float middle = 1 / scale;
  for (const float v : {middle, std::nextafter(middle, 0.f), std::nextafter(middle, 2 * middle)})
    if (1 / v == scale) return v;
  return middle;
}

/// The settings of rotary positions in the words of config.json.
[[nodiscard]] std::string rope_text(const rope_settings& s) {
  nlohmann::ordered_json j;
  const std::pair<rope_type, const char*> names[] = {
      {rope_type::linear, "linear"}, {rope_type::dynamic, "dynamic"},   {rope_type::llama3, "llama3"},
      {rope_type::yarn, "yarn"},     {rope_type::longrope, "longrope"}, {rope_type::proportional, "proportional"}};
  for (const auto& [type, name] : names)
    if (s.type == type) j["rope_type"] = name;
  j["factor"] = s.factor;
  if (s.original_context != 0) j["original_max_position_embeddings"] = s.original_context;
  if (s.type == rope_type::llama3) {
    j["low_freq_factor"] = s.low_frequency_factor;
    j["high_freq_factor"] = s.high_frequency_factor;
  }
  if (s.type == rope_type::yarn) {
    j["beta_fast"] = s.beta_fast;
    j["beta_slow"] = s.beta_slow;
    j["truncate"] = s.truncate;
    if (s.mscale) j["mscale"] = *s.mscale;
    if (s.mscale_all) j["mscale_all_dim"] = *s.mscale_all;
  }
  if (s.attention_factor) j["attention_factor"] = *s.attention_factor;
  if (s.type == rope_type::longrope) {
    j["short_factor"] = s.short_factor;
    j["long_factor"] = s.long_factor;
  }
  return j.dump();
}

struct writer {
  const config& c;
  gguf_pooling pooled = gguf_pooling::mean;
  const family& f = family_of(c);
  const gguf_family& g = *f.gguf;
  knobs k = settings_of(c);
  gguf_settings out = {};

  void put(std::string_view rest, gguf_item item) {
    out.keys.emplace_back(std::string(g.architecture) + std::string(rest), std::move(item));
  }
  void warn(const std::string& what) {
    out.warnings.push_back("llama.cpp " + what + " in models of architecture " + std::string(g.architecture));
  }
  template<class Get>
  [[nodiscard]] std::vector<std::size_t> per_layer(Get&& get) const {
    std::vector<std::size_t> all;
    for (const layer_settings& l : k.layers) all.push_back(get(l));
    return all;
  }

  void extents() {
    put(".vocab_size", number(c.vocabulary));
    put(".context_length", number(c.context));
    put(".embedding_length", number(c.width));
    put(".block_count", number(c.layers));
    put(".feed_forward_length", numbers(per_layer([](const layer_settings& l) { return l.hidden; })));
    put(".attention.head_count", number(c.heads));
    const std::vector<std::size_t> kv = per_layer([](const layer_settings& l) { return l.kv_heads; });
    put(".attention.head_count_kv", g.varies ? numbers(kv) : number(std::ranges::max(kv)));  // 0: a recurrent layer
    put(k.rms ? ".attention.layer_norm_rms_epsilon" : ".attention.layer_norm_epsilon", c.norm_epsilon);
    std::size_t full = 0, sliding = 0;
    for (const layer_settings& l : k.layers) {
      if (l.head_width == 0) continue;
      (l.window != 0 && k.ropes.size() > 1 ? sliding : full) = l.head_width;
    }
    if (full == 0) full = sliding;
    if (full * c.heads != c.width || (sliding != 0 && sliding != full)) {
      put(".attention.key_length", number(full));
      put(".attention.value_length", number(full));
    }
    if (sliding != 0 && sliding != full) {
      put(".attention.key_length_swa", number(sliding));
      put(".attention.value_length_swa", number(sliding));
    }
  }

  void scaled_rope(const rope_settings& s) {
    if (s.type == rope_type::plain) return;
    out.keys.emplace_back("precis.rope_scaling", rope_text(s));
    const auto factor = static_cast<float>(s.factor);
    if (s.type == rope_type::linear || s.type == rope_type::yarn) {
      put(".rope.scaling.type", std::string(s.type == rope_type::yarn ? "yarn" : "linear"));
      put(".rope.scaling.factor", factor);
    }
    if (s.type == rope_type::yarn) {
      put(".rope.scaling.original_context_length", number(s.original_context));
      put(".rope.scaling.yarn_beta_fast", static_cast<float>(s.beta_fast));
      put(".rope.scaling.yarn_beta_slow", static_cast<float>(s.beta_slow));
      if (!s.truncate) warn("rounds the ends of yarn's ramp to whole pairs, which this model does not,");
      const double usual = 1 + 0.1 * std::log(s.factor), wanted = frequencies(s, c.context).magnitude;
      if (g.architecture == "mistral3")
        put(".rope.scaling.yarn_log_multiplier", static_cast<float>(s.mscale_all.value_or(0)));
      else if (std::abs(wanted / usual - 1) > 1e-9)
        put(".rope.scaling.attn_factor", static_cast<float>(wanted / usual));
    }
    if (s.type == rope_type::dynamic) warn("does not enlarge the rotary base for long texts");
    if (s.type == rope_type::llama3) {
      rope_settings plain = s;
      plain.type = rope_type::plain;
      const std::vector<double> before = frequencies(plain, 1).of_pair, after = frequencies(s, 1).of_pair;
      gguf_divisors d{.name = "rope_freqs.weight", .values = {}};
      for (std::size_t i = 0; i < before.size(); ++i) d.values.push_back(static_cast<float>(before[i] / after[i]));
      out.divisors.push_back(std::move(d));
    }
    if (s.type == rope_type::longrope) {
      put(".rope.scaling.original_context_length", number(s.original_context));
      put(".rope.scaling.attn_factor", static_cast<float>(frequencies(s, 1).magnitude));
      out.divisors.push_back({"rope_factors_long.weight", {s.long_factor.begin(), s.long_factor.end()}});
      out.divisors.push_back({"rope_factors_short.weight", {s.short_factor.begin(), s.short_factor.end()}});
    }
    if (s.type == rope_type::proportional) {
      gguf_divisors d{.name = "rope_freqs.weight", .values = std::vector<float>(s.head_width / 2, 1e30f)};
      std::fill_n(d.values.begin(), s.rotary_width / 2, 1.f);
      out.divisors.push_back(std::move(d));
    }
  }

  void rotary() {
    const bool hybrid = g.architecture == "granitehybrid";
    if (hybrid) put(".rope.scaling.finetuned", !k.ropes.empty());  // its switch for rotary positions
    if (k.ropes.empty() || std::ranges::all_of(k.layers, [](const auto& l) { return l.rope == no_rope; })) return;
    const rope_settings& s = k.ropes.front();
    put(".rope.dimension_count", number(s.type == rope_type::proportional ? s.head_width : s.rotary_width));
    put(".rope.freq_base", static_cast<float>(s.theta));
    if (k.ropes.size() > 1) {
      put(".rope.freq_base_swa", static_cast<float>(k.ropes[1].theta));
      if (k.ropes[1].head_width != s.head_width) put(".rope.dimension_count_swa", number(k.ropes[1].rotary_width));
    }
    if (g.architecture == "qwen35") {  // of images; a text's positions are the same in all sections
      const auto pairs = static_cast<std::int32_t>(s.rotary_width / 2), third = (11 * pairs + 31) / 32;
      const std::int32_t second = std::min(third, pairs - third);
      put(".rope.dimension_sections", std::vector<std::int32_t>{third, second, pairs - third - second, 0});
    }
    scaled_rope(s);
  }

  void windows() {
    std::size_t window = 0;
    std::vector<bool> slides;
    for (const layer_settings& l : k.layers) {
      window = std::max(window, l.window);
      slides.push_back(l.window != 0);
    }
    if (window == 0) return;
    if (g.architecture == "modern-bert") {  // both sides; the middle is counted here
      put(".attention.sliding_window", number(window - 1));
      const auto second = std::ranges::find(slides.begin() + 1, slides.end(), false);
      put(".attention.sliding_window_pattern", number(static_cast<std::size_t>(second - slides.begin())));
      return;
    }
    put(".attention.sliding_window", number(window));
    if (g.attends_to_all && window < c.context) warn("ignores the window of " + std::to_string(window) + " positions");
    if (g.architecture == "gemma4") put(".attention.sliding_window_pattern", slides);
    if (g.architecture == "gemma3") {
      const auto full = std::ranges::find(slides, false);
      const auto pattern = static_cast<std::size_t>(full - slides.begin()) + 1;
      if (full != slides.end() && pattern != 6) put(".attention.sliding_window_pattern", number(pattern));
    }
  }

  void scales() {
    const bool gemma = g.architecture.starts_with("gemma");
    if (k.score_cap != 0) put(".attn_logit_softcapping", k.score_cap);
    if (k.logit_cap != 0) put(".final_logit_softcapping", k.logit_cap);
    if (gemma && g.architecture != "gemma4") {
      const std::size_t layers = g.architecture == "gemma2" ? 46 : 62;  // of the models with 27 billion weights
      const std::size_t usual = c.layers == layers ? c.width / c.heads : k.layers.front().head_width;
      if (k.attention_scale != static_cast<float>(1 / std::sqrt(static_cast<double>(usual)))) {
        put(".attention.scale", k.attention_scale);
        warn("ignores the attention scale");
      }
      return;
    }
    if (k.attention_scale != 0 && !gemma && f.causal) put(".attention.scale", k.attention_scale);
    if (gemma || g.folds_scales) return;
    if (k.embedding_scale != 1) put(".embedding_scale", k.embedding_scale);
    if (k.residual_scale != 1) put(".residual_scale", k.residual_scale);
    if (k.logit_scale != 1) put(".logit_scale", reciprocal(k.logit_scale));
    if (k.qkv_clip != 0) {
      put(".attention.clamp_kqv", k.qkv_clip);
      warn("does not limit queries, keys and values");
    }
    if (k.temperature_slope != 0) {
      put(".attention.temperature_scale", k.temperature_slope);
      put(".attention.temperature_length", number(k.temperature_context));
    }
    if (k.gate_limit != 0 && k.gate_limit != 7) {
      put(".swiglu_clamp_exp", std::vector<float>(c.layers, k.gate_limit));
      warn("limits the gate to 7 instead of this model's limit");
    }
  }

  void experts() {
    if (k.mixture.router.experts == 0) return;
    put(".expert_count", number(k.mixture.router.experts));
    put(".expert_used_count", number(k.mixture.router.chosen));
    put(".expert_feed_forward_length", number(k.mixture.hidden));
    if (k.mixture.shared_hidden != 0) put(".expert_shared_feed_forward_length", number(k.mixture.shared_hidden));
  }

  void mixers() {
    if (k.short_conv_width != 0) put(".shortconv.l_cache", number(k.short_conv_width));
    if (const delta_net_shape& d = k.delta_net; d.key_heads != 0) {
      put(".ssm.conv_kernel", number(d.conv_width));
      put(".ssm.state_size", number(d.key_width));
      put(".ssm.group_count", number(d.key_heads));
      put(".ssm.time_step_rank", number(d.value_heads));
      put(".ssm.inner_size", number(d.values()));
      const auto first = std::ranges::find(k.layers, mixer::attention, &layer_settings::mixer);
      put(".full_attention_interval", number(static_cast<std::size_t>(first - k.layers.begin()) + 1));
      if (d.key_width != d.value_width) warn("reads no delta net whose values are not as wide as its keys");
    }
    if (const mamba2_settings& m = k.mamba; m.heads != 0) {
      put(".ssm.conv_kernel", number(m.conv_width));
      put(".ssm.state_size", number(m.state_width));
      put(".ssm.group_count", number(m.groups));
      put(".ssm.time_step_rank", number(m.heads));
      put(".ssm.inner_size", number(m.inner()));
    }
    if (g.architecture == "gemma4") {
      put(".embedding_length_per_layer_input", number(k.layer_input_width));
      const auto shared = std::ranges::count_if(k.layers, [](const auto& l) { return l.kv_source != own_keys; });
      put(".attention.shared_kv_layers", number(static_cast<std::size_t>(shared)));
    }
  }

  void rest() {
    if (g.architecture == "modern-bert" && c.activation == activation::silu)
      put(".hidden_activation", std::string("silu"));
    if (g.architecture == "gptneox") put(".use_parallel_residual", k.parallel);
    if (!f.causal) {
      put(".attention.causal", false);
      put(".pooling_type", number(static_cast<std::size_t>(pooled)));
    }
    if (g.architecture == "bert")  // llama.cpp demands it, also of a model without types
      out.keys.emplace_back("tokenizer.ggml.token_type_count", number(std::max<std::size_t>(1, c.token_types)));
    if (k.relative_bias.rows != 0) put(".attention.relative_buckets_count", number(k.relative_bias.buckets));
    if (c.activation == activation::gelu_erf) warn("computes GELU by its approximation with tanh");
  }
};

/// What differs, in words.
[[nodiscard]] std::string difference(const config& a, const config& b) {
  const knobs x = settings_of(a), y = settings_of(b);
  std::vector<std::string> parts;
  const auto add = [&](bool equal, const char* what) {
    if (!equal) parts.emplace_back(what);
  };
  add(a.activation == b.activation, "the activation");
  add(a.norm_epsilon == b.norm_epsilon && x.norms == y.norms && x.norm_shift == y.norm_shift, "norms");
  add(a.tied_head == b.tied_head, "the head");
  add(x.qkv_bias == y.qkv_bias && x.output_bias == y.output_bias && x.mlp_bias == y.mlp_bias &&
          x.head_bias == y.head_bias && x.conv_bias == y.conv_bias && x.mixer_in_bias == y.mixer_in_bias &&
          x.mixer_out_bias == y.mixer_out_bias,
      "biases");
  add(x.ropes == y.ropes, "rotary positions");
  add(x.layers == y.layers, "what layers differ in");
  add(x.mixture == y.mixture, "experts");
  add(x.mamba == y.mamba && x.delta_net == y.delta_net && x.short_conv_width == y.short_conv_width, "recurrent mixers");
  if (parts.empty()) parts.emplace_back("scales or other settings");
  return joined(parts);
}

}  // namespace

gguf_settings gguf_rope_of(const config& c) {
  writer w{.c = c};
  w.rotary();
  return std::move(w.out);
}

gguf_settings gguf_settings_of(const config& c, std::string_view where, gguf_pooling pooled) {
  const family& f = family_of(c);
  if (f.gguf == nullptr)
    refuse_input(where, "a model of type " + std::string(f.model_type) + ", for which llama.cpp has no architecture",
                 "a folder as the output");
  writer w{.c = c, .pooled = pooled};
  w.out.keys.emplace_back("general.architecture", std::string(f.gguf->architecture));
  w.out.keys.emplace_back("precis.model_type", std::string(f.model_type));
  w.extents();
  w.rotary();
  w.windows();
  w.scales();
  w.experts();
  w.mixers();
  w.rest();

  // Read it back: what the keys do not hold is refused.
  std::string text = gguf_text(w.out.keys);
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  gguf_header header = parse_gguf(bytes, where);
  std::vector<std::vector<float>> storage;
  const auto declare = [&](std::string name, std::vector<std::size_t> shape) {
    gguf_tensor t{.name = std::move(name), .format = "float32", .shape = std::move(shape)};
    header.tensors.push_back(std::move(t));
  };
  for (const gguf_place& p : gguf_places(c, usual_fusion(c))) declare(p.tensor, p.shape);
  for (const gguf_divisors& d : w.out.divisors) {
    storage.push_back(d.values);
    declare(d.name, {d.values.size()});
    header.tensors.back().data = std::as_bytes(std::span(storage.back()));
  }
  std::vector<std::string> ignored;
  if (w.k.padding != no_padding)  // the tokenizer has this key
    header.metadata.emplace("tokenizer.ggml.padding_token_id", std::uint64_t{w.k.padding});
  config back = read_gguf_config(header, where, ignored);
  config wanted = c;
  for (config* const each : {&back, &wanted})
    if (each->knobs) {
      each->knobs->published.clear();
      each->knobs->mxfp4 = false;
    }
  if (back != wanted)
    refuse_input(where,
                 "settings of this " + std::string(f.name) + " for which llama.cpp's architecture " +
                     std::string(f.gguf->architecture) + " has no keys: " + difference(back, wanted),
                 "a folder as the output");
  return std::move(w.out);
}

}  // namespace engine
