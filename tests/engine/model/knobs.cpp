#include <engine/model/knobs.hpp>

#include <engine/model/config_json.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/model/taps.hpp>

#include "catch.hpp"
#include "engine/float_bundle.hpp"
#include "engine/random_models.hpp"
#include "refusal.hpp"
#include "temporary_folder.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

using namespace precis;
using engine::transformer;
using namespace random_models;

// Small random models of every family of decoders, with each knob on and off. What the original implementations compute
// is in decoders.cpp; here a model has to agree with itself.

namespace {

using nlohmann::json;

/// The keys that all of these families read.
json base(const std::string& type) {
  return {{"model_type", type},       {"num_hidden_layers", 3},   {"hidden_size", 24},
          {"num_attention_heads", 6}, {"num_key_value_heads", 2}, {"head_dim", 4},
          {"intermediate_size", 20},  {"vocab_size", 29},         {"max_position_embeddings", 64}};
}

json with(json keys, const json& more) {
  keys.update(more);
  return keys;
}

struct knob_case {
  std::string name;
  json keys;
};

std::vector<knob_case> knob_cases() {
  std::vector<knob_case> all;
  const auto add = [&](const std::string& name, const std::string& type, const json& more = json::object()) {
    all.push_back({name, with(base(type), more)});
  };
  add("Llama with biases, other heads and llama3 positions", "llama",
      {{"head_dim", 6},
       {"attention_bias", true},
       {"mlp_bias", true},
       {"hidden_act", "gelu"},
       {"rope_scaling",
        {{"rope_type", "llama3"},
         {"factor", 8.0},
         {"low_freq_factor", 1.0},
         {"high_freq_factor", 4.0},
         {"original_max_position_embeddings", 16}}}});
  add("Llama with linear positions", "llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}});
  add("Qwen2 with windows from layer 1 on", "qwen2",
      {{"use_sliding_window", true}, {"sliding_window", 3}, {"max_window_layers", 1}});
  add("Qwen3", "qwen3");
  add("Qwen3 with biases", "qwen3", {{"attention_bias", true}, {"tie_word_embeddings", true}});
  add("Mistral with a window of 1", "mistral", {{"sliding_window", 1}});
  add("Mistral with a window of 5", "mistral", {{"sliding_window", 5}});
  add("Mistral without a window", "mistral", {{"sliding_window", nullptr}});
  add("Gemma 2", "gemma2", {{"sliding_window", 4}, {"attn_logit_softcapping", 2.0}, {"final_logit_softcapping", 3.0}});
  add("Gemma 2 without caps", "gemma2",
      {{"sliding_window", 4}, {"attn_logit_softcapping", nullptr}, {"final_logit_softcapping", nullptr}});
  add("Gemma 3", "gemma3_text", {{"sliding_window", 4}, {"sliding_window_pattern", 2}, {"query_pre_attn_scalar", 9}});
  add("OLMo-2", "olmo2");
  add("OLMoE", "olmoe", {{"num_experts", 5}, {"num_experts_per_tok", 2}, {"clip_qkv", 0.9}});
  add("OLMoE, normalized", "olmoe", {{"num_experts", 5}, {"num_experts_per_tok", 3}, {"norm_topk_prob", true}});
  add("Qwen3-MoE with a dense layer", "qwen3_moe",
      {{"num_experts", 4}, {"num_experts_per_tok", 2}, {"moe_intermediate_size", 12}, {"mlp_only_layers", {1}}});
  add("Mixtral", "mixtral", {{"num_local_experts", 4}});
  add("gpt-oss", "gpt_oss",
      {{"num_local_experts", 4}, {"num_experts_per_tok", 2}, {"sliding_window", 3}, {"swiglu_limit", 1.5}});
  add("Phi-3, long and short positions differ", "phi3",
      {{"partial_rotary_factor", 0.5},
       {"original_max_position_embeddings", 8},
       {"sliding_window", 6},
       {"rope_scaling", {{"type", "longrope"}, {"short_factor", {1.0}}, {"long_factor", {3.0}}}}});
  add("Granite", "granite",
      {{"attention_multiplier", 0.7},
       {"embedding_multiplier", 2.0},
       {"residual_multiplier", 0.5},
       {"logits_scaling", 1.5},
       {"mlp_bias", true}});
  add("SmolLM3 with a window", "smollm3",
      {{"no_rope_layers", {1, 0, 1}}, {"use_sliding_window", true}, {"sliding_window", 4}});
  add("GPT-NeoX", "gpt_neox", {{"rotary_pct", 0.5}});
  add("GPT-NeoX, one half after the other", "gpt_neox", {{"use_parallel_residual", false}, {"rotary_pct", 1.0}});
  add("Ministral 3", "ministral3",
      {{"rope_parameters",
        {{"rope_type", "yarn"},
         {"factor", 4.0},
         {"rope_theta", 10000.0},
         {"mscale", 1.0},
         {"mscale_all_dim", 1.0},
         {"original_max_position_embeddings", 4},
         {"llama_4_scaling_beta", 0.1}}}});
  add("OPT-350M", "opt",
      {{"ffn_dim", 20}, {"do_layer_norm_before", false}, {"word_embed_proj_dim", 10}, {"activation_function", "gelu"}});
  add("OPT without norm weights", "opt",
      {{"ffn_dim", 20}, {"activation_function", "relu"}, {"layer_norm_elementwise_affine", false}});
  add("OPT without biases and final norm", "opt",
      {{"ffn_dim", 20}, {"enable_bias", false}, {"_remove_final_layer_norm", true}, {"activation_function", "gelu"}});
  add("Gemma 4", "gemma4_text",
      {{"num_hidden_layers", 6},
       {"head_dim", 4},
       {"global_head_dim", 8},
       {"hidden_size_per_layer_input", 6},
       {"vocab_size_per_layer_input", 29},
       {"num_kv_shared_layers", 3},
       {"use_double_wide_mlp", true},
       {"sliding_window", 4},
       {"final_logit_softcapping", 4.0},
       {"layer_types",
        {"sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention",
         "full_attention"}}});
  add("Gemma 4 with keys that are values", "gemma4_text",
      {{"head_dim", 4},
       {"global_head_dim", 8},
       {"hidden_size_per_layer_input", 0},
       {"attention_k_eq_v", true},
       {"num_global_key_value_heads", 3},
       {"layer_types", {"full_attention", "sliding_attention", "full_attention"}}});
  add("Gemma 4 without inputs of layers and sharing", "gemma4_text",
      {{"head_dim", 4}, {"global_head_dim", 12}, {"hidden_size_per_layer_input", 0}, {"sliding_window", 2}});
  add("LFM2 with biases and a wider convolution", "lfm2",
      {{"block_ff_dim", 33},
       {"block_ffn_dim_multiplier", 0.9},
       {"block_multiple_of", 4},
       {"full_attn_idxs", {1}},
       {"conv_L_cache", 4},
       {"conv_bias", true}});
  add("LFM2 without attention", "lfm2",
      {{"block_auto_adjust_ff_dim", false}, {"layer_types", {"conv", "conv", "conv"}}, {"tie_embedding", false}});
  add("Qwen3.5", "qwen3_5",
      {{"head_dim", 8},
       {"rms_norm_eps", 0.05},  // smaller, and the norm of what little random weights remember is too steep to measure
       {"full_attention_interval", 2},
       {"linear_num_key_heads", 2},
       {"linear_num_value_heads", 6},
       {"linear_key_head_dim", 3},
       {"linear_value_head_dim", 5},
       {"linear_conv_kernel_dim", 3},
       {"rope_parameters", {{"rope_theta", 100.0}, {"mrope_section", {1, 0, 0}}, {"mrope_interleaved", true}}}});
  add("Qwen3-Next with biases and a dense layer", "qwen3_next",
      {{"head_dim", 8},
       {"attention_bias", true},
       {"layer_types", {"full_attention", "linear_attention", "linear_attention"}},
       {"linear_num_key_heads", 3},
       {"linear_num_value_heads", 3},
       {"linear_key_head_dim", 5},
       {"linear_value_head_dim", 2},
       {"num_experts", 4},
       {"num_experts_per_tok", 2},
       {"norm_topk_prob", false},
       {"moe_intermediate_size", 6},
       {"shared_expert_intermediate_size", 5},
       {"mlp_only_layers", {1}}});
  const json mamba{{"mamba_n_heads", 6}, {"mamba_d_state", 5}, {"mamba_d_conv", 3}};
  add("Granite 4 with experts, rotation and limited steps", "granitemoehybrid",
      with(mamba, {{"layer_types", {"mamba", "attention", "mamba"}},
                   {"position_embedding_type", "rope"},
                   {"num_local_experts", 4},
                   {"shared_intermediate_size", 14},
                   {"mamba_n_groups", 3},
                   {"mamba_conv_bias", false},
                   {"mamba_proj_bias", true},
                   {"time_step_limit", {0.3, 0.8}},
                   {"attention_bias", true},
                   {"attention_multiplier", 0.6},
                   {"embedding_multiplier", 2.0},
                   {"residual_multiplier", 0.5},
                   {"logits_scaling", 1.5}}));
  add("Granite 4 without experts and attention", "granitemoehybrid",
      with(mamba, {{"num_local_experts", 0}, {"shared_intermediate_size", 14}, {"tie_word_embeddings", true}}));
  add("Bamba in groups", "bamba",
      with(mamba, {{"attn_layer_indices", {0}}, {"mamba_n_groups", 2}, {"mamba_expand", 1}, {"mlp_bias", true}}));
  const json scales{{"embedding_multiplier", 2.0},
                    {"lm_head_multiplier", 0.7},
                    {"key_multiplier", 0.6},
                    {"attention_in_multiplier", 1.3},
                    {"attention_out_multiplier", 0.9},
                    {"ssm_in_multiplier", 0.8},
                    {"ssm_out_multiplier", 1.2},
                    {"mlp_multipliers", {0.8, 1.1}},
                    {"mamba_d_ssm", 30},
                    {"ssm_multipliers", {0.9, 1.1, 0.8, 1.2, 0.7}}};
  add("Falcon-H1, gate before the norm", "falcon_h1",
      with(with(mamba, scales), {{"mamba_rms_norm", true}, {"mamba_norm_before_gate", false}, {"mamba_n_groups", 2}}));
  add("Falcon-H1, gate after the norm, with biases", "falcon_h1",
      with(with(mamba, scales),
           {{"mamba_rms_norm", true}, {"projectors_bias", true}, {"mamba_proj_bias", true}, {"attention_bias", true}}));
  add("Falcon-H1 without a norm, expanded", "falcon_h1", with(mamba, {{"mamba_d_ssm", nullptr}, {"mlp_bias", true}}));
  return all;
}

engine::config config_of(const knob_case& of) {
  json keys = of.keys;
  if (keys["model_type"] == "opt" || keys["model_type"] == "gpt_neox") keys.erase("head_dim");
  return engine::parse_config(keys.dump(), of.name);
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(
      a, b, [](float x, float y) { return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y); });
}

}  // namespace

TEST_CASE("knobs: parts of a run give the bits of the whole run", "[engine][knobs][property]") {
  for (const knob_case& of : knob_cases()) {
    INFO(of.name);
    const transformer m = random_model(config_of(of), 3);
    const token_batch b = random_batch(m, 3, 13, 8);
    activations x = m.enter(b);
    for (std::size_t l = 0; l < m.layers(); ++l) m.run_layer(l, x);
    CHECK(m.read_loss(b, std::as_const(x).view()) == m.loss(b));
    CHECK(same_bits(m.read_out(std::as_const(x).view().as_matrix()).values, m.logits(b, positions::all).values));

    engine::cache filled;
    const float_matrix full = m.capture(b, filled, tap::none{});
    CHECK(same_bits(full.values, m.logits(b, positions::last).values));
    const std::vector<std::size_t> sequences{2, 0, 2};
    for (std::size_t layer = 0; layer <= m.layers(); ++layer)
      for (const std::size_t first_token : {0u, 1u, 5u, 12u}) {
        const std::size_t tokens = b.tokens - first_token, width = filled.residual(0).features;
        activations stream(3, tokens, width);
        for (std::size_t i = 0; i < 3; ++i)
          for (std::size_t t = 0; t < tokens; ++t)
            std::ranges::copy(filled.residual(layer)(sequences[i], first_token + t), stream.view()(i, t).begin());
        for (std::size_t l = layer; l < m.layers(); ++l)
          m.run_layer({.layer = l,
                       .first_token = first_token,
                       .sequences = sequences,
                       .outputs = l + 1 == m.layers() ? positions::last : positions::all},
                      filled, stream.view());
        const float_matrix resumed = m.read_out(
            {stream.values.data() + (tokens - 1) * width, 3, width, static_cast<std::ptrdiff_t>(tokens * width), 1});
        for (std::size_t i = 0; i < 3; ++i) CHECK(same_bits(resumed.row(i), full.row(sequences[i])));
      }
  }
}

TEST_CASE("knobs: forward and backward report the same inputs, once per matrix that has any",
          "[engine][knobs][property]") {
  for (const knob_case& of : knob_cases()) {
    INFO(of.name);
    const transformer m = random_model(config_of(of), 3);
    const token_batch b = random_batch(m, 2, 11, 9);
    std::vector<std::vector<float>> seen(m.matrices().size());
    m.inputs(b, [&](const linear_input& i) {
      for (const std::size_t matrix : i.matrices) {
        REQUIRE(seen[matrix].empty());
        CHECK(i.input.features == m.matrices()[matrix].in);
        for (std::size_t s = 0; s < i.input.sequences; ++s)
          for (std::size_t t = 0; t < i.input.tokens; ++t)
            seen[matrix].insert(seen[matrix].end(), i.input(s, t).begin(), i.input(s, t).end());
      }
    });
    const auto routed = m.routed(b);
    std::vector<std::size_t> calls(m.matrices().size());
    (void)m.backward(b, [&](const linear_gradient& g) {
      ++calls[g.matrix];
      CHECK(g.output_gradient.features == m.matrices()[g.matrix].out);
      std::vector<float> expected;
      for (std::size_t s = 0; s < g.input.sequences; ++s)
        for (std::size_t t = 0; t < g.input.tokens; ++t)
          expected.insert(expected.end(), g.input(s, t).begin(), g.input(s, t).end());
      CHECK(same_bits(seen[g.matrix], expected));
    });
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const matrix_info& info = m.matrices()[i];
      std::size_t rows = 22;
      if (!info.unit.empty())
        rows = routed[info.layer][static_cast<std::size_t>(std::stoul(info.unit.substr(info.unit.rfind('.') + 1)))];
      CHECK(seen[i].size() == rows * info.in);
      CHECK(calls[i] == (rows == 0 ? 0 : 1));
    }
  }
}

TEST_CASE("knobs: a saved model loads as the same model", "[engine][knobs]") {
  const temporary_folder folder;
  for (std::size_t i = 0; const knob_case& of : knob_cases()) {
    INFO(of.name);
    const transformer m = random_model(config_of(of), 4);
    const auto path = folder / std::to_string(i++);
    engine::save(m.parameters(), path);
    const engine::weights loaded = support::float_bundle(path).weights;
    CHECK(loaded.config == m.shape());
    const auto before = tensors(m.parameters()), after = tensors(loaded);
    REQUIRE(before.size() == after.size());
    for (std::size_t k = 0; k < before.size(); ++k) {
      INFO(before[k].name);
      CHECK(same_bits(before[k].values, after[k].values));
    }
  }
}

TEST_CASE("knobs: gradients are the derivatives of the loss", "[engine][knobs][oracle]") {
  // As in transformer.cpp: central differences at two steps along the gradient and a random direction. Where a token
  // changes its experts or a limit begins, the loss has no derivative; a seed without such a place in reach is chosen by
  // moving only as far as the routing stays the same.
  for (const knob_case& of : knob_cases()) {
    INFO(of.name);
    transformer model = random_model(config_of(of), 21, 0.25f);
    const token_batch b = random_batch(model, 2, 12, 14);
    engine::weights gradient = zeros(model.shape());
    (void)model.backward(b, [](const linear_gradient&) {}, gradient);
    const auto routed = model.routed(b);
    const auto slopes = tensors(std::as_const(gradient));
    const auto values = tensors(model.parameters());
    std::size_t compared = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      INFO(values[i].name);
      double norm = 0, predicted = 0;
      for (const float g : slopes[i].values) norm += static_cast<double>(g) * static_cast<double>(g);
      if (norm < 1e-6) continue;  // a key's bias, an expert without tokens
      numbers random{100 + i};
      std::vector<float> direction(values[i].values.size());
      for (std::size_t k = 0; k < direction.size(); ++k) {
        direction[k] = static_cast<float>(static_cast<double>(slopes[i].values[k]) / std::sqrt(norm)) +
                       random.next() / std::sqrt(static_cast<float>(direction.size()));
        predicted += static_cast<double>(direction[k]) * static_cast<double>(slopes[i].values[k]);
      }
      const std::vector<float> before(values[i].values.begin(), values[i].values.end());
      bool smooth = true;
      const auto moved = [&](float by) {
        for (std::size_t k = 0; k < before.size(); ++k) values[i].values[k] = before[k] + by * direction[k];
        const double sum = model.loss(b).sum;
        smooth = smooth && model.routed(b) == routed;
        std::ranges::copy(before, values[i].values.begin());
        return sum;
      };
      const auto slope = [&](float h) { return (moved(h) - moved(-h)) / (2.0 * static_cast<double>(h)); };
      for (float step = 0x1p-10f; step >= 0x1p-12f; step /= 2) {
        smooth = true;
        const double measured = (4 * slope(step) - slope(2 * step)) / 3;
        if (!smooth) continue;
        ++compared;
        CHECK(measured == Approx(predicted).epsilon(2e-2).margin(4e-2));
        break;
      }
    }
    CHECK(2 * compared > values.size());
  }
}

TEST_CASE("knobs: the packed model agrees with the float model, token by token and at once",
          "[engine][knobs][oracle]") {
  for (const knob_case& of : knob_cases()) {
    INFO(of.name);
    const transformer m = random_model(config_of(of), 5);
    const engine::packed_transformer p(engine::packed(m.parameters()));
    const token_batch b = random_batch(m, 1, 14, 6);
    CHECK(p.loss(b).sum == Approx(m.loss(b).sum).epsilon(1e-5));
    engine::packed_transformer::sequence at_once = p.begin(14), one_by_one = p.begin(14);
    const std::span<const float> all = p.append(at_once, b.ids);
    std::span<const float> last;
    for (std::size_t t = 0; t < b.tokens; ++t) last = p.append(one_by_one, std::span(b.ids).subspan(t, 1));
    CHECK(same_bits(all, last));
    const float_matrix logits = m.logits(b, positions::last);
    for (std::size_t v = 0; v < all.size(); ++v)
      CHECK(static_cast<double>(all[v]) == Approx(static_cast<double>(logits(0, v))).margin(2e-4));
  }
}

TEST_CASE("knobs: what the engine does not support is refused by key and value", "[engine][knobs][refusal]") {
  const auto says = [](const std::string& type, const json& more) {
    return refusal([&] { (void)engine::parse_config(with(base(type), more).dump(), "config.json"); });
  };
  for (const std::string type : {"llama", "qwen2", "qwen3", "mistral", "olmo2", "olmoe", "qwen3_moe", "mixtral", "phi3",
                                 "granite", "smollm3", "ministral3"}) {
    INFO(type);
    CHECK_THAT(says(type, {{"hidden_act", "xyz"}}), ContainsSubstring("key \"hidden_act\" is \"xyz\""));
    CHECK_THAT(says(type, {{"rope_scaling", {{"rope_type", "foo"}, {"factor", 2.0}}}}),
               ContainsSubstring("key \"rope_type\" is \"foo\"; expected default, linear"));
    CHECK_THAT(says(type, {{"rope_parameters", {{"rope_theta", 1e4}, {"spin", 2}}}}),
               ContainsSubstring("key \"spin\" is the number 2"));
    CHECK_THAT(says(type, {{"rms_norm_eps", 0}}), ContainsSubstring("\"rms_norm_eps\" is 0"));
    CHECK_THAT(says(type, {{"num_key_value_heads", 4}}), ContainsSubstring("6 heads with 4 key-value heads"));
    CHECK_THAT(says(type, {{"tie_word_embeddings", "yes"}}),
               ContainsSubstring("\"tie_word_embeddings\" is the string"));
  }
  CHECK_THAT(says("mistral", {{"num_local_experts", 8}}), ContainsSubstring("\"num_local_experts\" is the number 8"));
  CHECK_THAT(says("mistral", {{"attention_bias", true}}), ContainsSubstring("\"attention_bias\" is true"));
  CHECK_THAT(says("mistral", {{"sliding_window", 0}}), ContainsSubstring("\"sliding_window\" is 0"));
  CHECK_THAT(says("qwen3", {{"layer_types", {"full_attention"}}}),
             ContainsSubstring("\"layer_types\" is an array of 1"));
  CHECK_THAT(says("qwen3", {{"layer_types", {"full_attention", "x", "full_attention"}}}),
             ContainsSubstring("\"layer_types\" holds the string \"x\""));
  CHECK_THAT(says("olmoe", {{"num_experts", 4}, {"num_experts_per_tok", 5}}), ContainsSubstring("5"));
  CHECK_THAT(says("gemma2", {{"hidden_activation", "xyz"}}), ContainsSubstring("\"hidden_activation\" is \"xyz\""));
  CHECK_THAT(says("gemma3_text", {{"use_bidirectional_attention", true}}),
             ContainsSubstring("\"use_bidirectional_attention\" is true"));
  CHECK_THAT(says("gemma4_text", {{"enable_moe_block", true}}), ContainsSubstring("\"enable_moe_block\" is true"));
  CHECK_THAT(says("gpt_oss", {{"quantization_config", {{"quant_method", "awq"}}}}), ContainsSubstring("\"awq\""));
  CHECK_THAT(says("qwen3", {{"quantization_config", {{"quant_method", "gptq"}}}}), ContainsSubstring("\"gptq\""));
  CHECK_THAT(says("smollm3", {{"no_rope_layers", {1, 2, 0}}}),
             ContainsSubstring("\"no_rope_layers\" holds the number 2"));
  CHECK_THAT(says("qwen3", {{"num_hidden_layers", 1u << 20}}), ContainsSubstring("\"num_hidden_layers\" is 1048576"));

  // An unknown key is named in a warning.
  const json odd = with(base("qwen3"), {{"flux_capacitor", true}, {"initializer_range", 0.02}});
  const engine::config c = engine::parse_config(odd.dump(), "config.json");
  CHECK(engine::unapplied_keys(odd, c, engine::metadata_file::config) == std::vector<std::string>{"flux_capacitor"});
}

TEST_CASE("knobs: absent keys have the publishers' defaults", "[engine][knobs][worked-example]") {
  const auto read = [](const std::string& type, const json& more, std::initializer_list<const char*> without) {
    json keys = with(base(type), more);
    for (const char* const key : without) keys.erase(key);
    return engine::settings_of(engine::parse_config(keys.dump(), "config.json"));
  };
  CHECK(read("mistral", json::object(), {}).layers[0].window == 4096);
  CHECK(read("mistral", {{"sliding_window", nullptr}}, {}).layers[0].window == 0);
  CHECK(read("qwen3", json::object(), {"head_dim"}).layers[0].head_width == 128);
  CHECK(read("qwen2", json::object(), {"head_dim"}).layers[0].head_width == 4);
  CHECK(read("qwen2", {{"sliding_window", 8}}, {}).layers[2].window == 0);  // use_sliding_window is absent
  const engine::knobs gemma2 = read("gemma2", json::object(), {"head_dim"});
  CHECK(gemma2.layers[0].head_width == 256);
  CHECK((gemma2.layers[0].window == 4096 && gemma2.layers[1].window == 0 && gemma2.layers[2].window == 4096));
  CHECK((gemma2.score_cap == 50 && gemma2.logit_cap == 30 && gemma2.attention_scale == 1.f / 16));
  const engine::knobs gemma3 = read("gemma3_text", {{"num_hidden_layers", 7}}, {});
  for (std::size_t l = 0; l < 7; ++l) CHECK((gemma3.layers[l].window == 0) == (l == 5));
  CHECK((gemma3.ropes[gemma3.layers[0].rope].theta == 1e4 && gemma3.ropes[gemma3.layers[5].rope].theta == 1e6));
  const engine::knobs gemma4 =
      read("gemma4_text", {{"layer_types", {"sliding_attention", "full_attention", "sliding_attention"}}}, {});
  CHECK((gemma4.layers[2].window == 0 && gemma4.layers[2].head_width == 512));  // the last layer is full
  CHECK(gemma4.ropes[gemma4.layers[2].rope].type == engine::rope_type::proportional);
  const engine::knobs oss = read("gpt_oss", json::object(), {"head_dim"});
  CHECK((oss.gate_limit == 7 && oss.layers[0].window == 128 && oss.layers[1].window == 0));
  CHECK((oss.ropes[0].type == engine::rope_type::yarn && !oss.ropes[0].truncate && oss.mixture.router.experts == 128));
  CHECK(read("smollm3", {{"num_hidden_layers", 4}}, {}).layers[3].rope == engine::no_rope);
  CHECK(read("granite", json::object(), {}).attention_scale == 1);
  CHECK(read("ministral3", json::object(), {}).temperature_slope == 0.1f);
}
