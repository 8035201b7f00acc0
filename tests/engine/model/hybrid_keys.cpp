#include <engine/model/families/hybrid_keys.hpp>

#include <engine/model/config_json.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <nlohmann/json.hpp>

#include <limits>
#include <string>
#include <vector>

using engine::mixer;
using nlohmann::json;

namespace {

json model(const std::string& type, const json& more) {
  json keys{{"model_type", type},
            {"num_hidden_layers", 4},
            {"hidden_size", 1024},
            {"num_attention_heads", 16},
            {"intermediate_size", 2048},
            {"vocab_size", 100},
            {"max_position_embeddings", 256}};
  keys.update(more);
  return keys;
}

engine::config parsed(const std::string& type, const json& more = json::object()) {
  return engine::parse_config(model(type, more).dump(), "config.json");
}

std::string refused(const std::string& type, const json& more) {
  return refusal([&] { (void)parsed(type, more); });
}

std::vector<mixer> mixers(const engine::config& c) {
  std::vector<mixer> all;
  for (const engine::layer_settings& l : c.knobs->layers) all.push_back(l.mixer);
  return all;
}

constexpr mixer attention = mixer::attention, conv = mixer::short_conv, delta = mixer::delta_net, mamba = mixer::mamba;

}  // namespace

TEST_CASE("the MLP of LFM2 has two thirds of the stated width, in whole multiples", "[engine][hybrid]") {
  for (const auto& [stated, width] : {std::pair{6656, 4608}, std::pair{10240, 6912}, std::pair{12288, 8192}})
    CHECK(parsed("lfm2", {{"block_ff_dim", stated}}).hidden == static_cast<std::size_t>(width));
  CHECK(parsed("lfm2", {{"block_ff_dim", 10752}, {"block_auto_adjust_ff_dim", false}}).hidden == 10752);
  CHECK(parsed("lfm2", {{"block_ff_dim", 300}, {"block_ffn_dim_multiplier", 1.5}, {"block_multiple_of", 7}}).hidden ==
        301);
  CHECK(parsed("lfm2").hidden == 1536);  // of intermediate_size
}

TEST_CASE("hybrids: the layers' mixers, by list, by index and by default", "[engine][hybrid]") {
  CHECK(mixers(parsed("lfm2", {{"layer_types", {"conv", "full_attention", "conv", "conv"}}})) ==
        std::vector{conv, attention, conv, conv});
  CHECK(mixers(parsed("lfm2", {{"full_attn_idxs", {0, 3}}})) == std::vector{attention, conv, conv, attention});
  CHECK(mixers(parsed("lfm2")) == std::vector(4, attention));
  CHECK(mixers(parsed("qwen3_5")) == std::vector{delta, delta, delta, attention});
  CHECK(mixers(parsed("qwen3_next", {{"full_attention_interval", 2}})) ==
        std::vector{delta, attention, delta, attention});
  CHECK(mixers(parsed("bamba", {{"attn_layer_indices", {2}}})) == std::vector{mamba, mamba, attention, mamba});
  CHECK(mixers(parsed("bamba")) == std::vector(4, mamba));
  const json names{"linear_attention", "full_attention", "mamba", "attention"};
  CHECK(mixers(parsed("granitemoehybrid", {{"layer_types", names}})) ==
        std::vector{mamba, attention, mamba, attention});
  CHECK(mixers(parsed("falcon_h1", {{"mamba_n_heads", 32}})) == std::vector(4, mixer::attention_and_mamba));
}

TEST_CASE("hybrids: absent keys mean what they mean to the publishers' classes", "[engine][hybrid]") {
  const engine::config lfm2 = parsed("lfm2"), qwen = parsed("qwen3_5"), next = parsed("qwen3_next"),
                       bamba = parsed("bamba"), granite = parsed("granitemoehybrid"),
                       falcon = parsed("falcon_h1", {{"mamba_n_heads", 32}});
  CHECK(lfm2.tied_head);
  CHECK(lfm2.kv_heads == 8);
  CHECK(lfm2.knobs->ropes[0].theta == 1e6);
  CHECK(lfm2.knobs->short_conv_width == 3);
  CHECK(qwen.kv_heads == 4);
  CHECK(next.kv_heads == 2);
  CHECK_FALSE(qwen.tied_head);
  CHECK(qwen.knobs->layers[3].head_width == 256);
  CHECK(qwen.knobs->ropes[0].rotary_width == 64);
  CHECK(qwen.knobs->delta_net == engine::delta_net_shape{16, 32, 128, 128, 4});
  CHECK(next.knobs->mixture.router.experts == 512);
  CHECK(next.knobs->mixture.router.chosen == 10);
  CHECK(next.knobs->mixture.router.renormalize);
  CHECK(bamba.knobs->ropes[0].rotary_width == 32);
  CHECK(bamba.knobs->mamba.heads == 128);
  CHECK(bamba.knobs->mamba.head_width == 16);
  CHECK(bamba.knobs->mamba.state_width == 256);
  CHECK(bamba.knobs->mamba.most_step == std::numeric_limits<double>::infinity());
  CHECK(bamba.knobs->conv_bias);
  CHECK(granite.kv_heads == 16);
  CHECK(granite.knobs->ropes.empty());
  CHECK(granite.knobs->attention_scale == 1);
  CHECK(granite.knobs->mixture.router.experts == 8);
  CHECK(granite.knobs->mixture.hidden == 2048);
  CHECK(granite.hidden == 1024);
  CHECK(falcon.knobs->mamba.inner() == 1024);
  CHECK(falcon.knobs->mamba.order == engine::gate_order::gate_alone);
  CHECK(parsed("falcon_h1", {{"mamba_d_ssm", nullptr}}).knobs->mamba.inner() == 2048);
  CHECK(parsed("falcon_h1", {{"mamba_n_heads", 32}, {"num_key_value_heads", nullptr}}).kv_heads == 16);
  CHECK(parsed("bamba", {{"time_step_limit", {0.5, {{"__float__", "Infinity"}}}}}).knobs->mamba.least_step == 0.5);
}

TEST_CASE("a nested config.json is read from its text_config", "[engine][hybrid]") {
  const json text = model("qwen3_5_text", {{"tie_word_embeddings", true}});
  const auto read = [&](const json& more) {
    json keys{{"model_type", "qwen3_5"}, {"text_config", text}, {"vision_config", {{"depth", 2}}}};
    keys.update(more);
    return engine::parse_config(keys.dump(), "config.json");
  };
  CHECK(read(json::object()).tied_head);
  CHECK(read({{"tie_word_embeddings", true}}).width == 1024);
  CHECK_THAT(refusal([&] { (void)read({{"tie_word_embeddings", false}}); }), ContainsSubstring("tie_word_embeddings"));
  CHECK_THAT(refusal([&] { (void)read({{"text_config", model("qwen3_5_text", {{"sliding_window", 4}})}}); }),
             ContainsSubstring("\"sliding_window\" is the number 4"));
  CHECK_THAT(refusal([&] { (void)read({{"text_config", 3}}); }), ContainsSubstring("text_config"));
}

TEST_CASE("hybrids refuse what they cannot compute, by key and value", "[engine][hybrid]") {
  CHECK_THAT(refused("bamba", {{"hidden_act", "gelu"}}),
             ContainsSubstring("\"hidden_act\" is \"gelu\"; expected silu"));
  CHECK_THAT(refused("bamba", {{"mamba_n_heads", 7}}), ContainsSubstring("\"mamba_n_heads\" is 7"));
  CHECK_THAT(refused("bamba", {{"mamba_d_head", 9}}), ContainsSubstring("\"mamba_d_head\" is 9; expected 16"));
  CHECK_THAT(refused("bamba", {{"attn_layer_indices", {4}}}),
             ContainsSubstring("\"attn_layer_indices\" holds the number 4"));
  CHECK_THAT(refused("bamba", {{"time_step_limit", {2, 1}}}), ContainsSubstring("time_step_limit = 2"));
  CHECK_THAT(refused("bamba", {{"time_step_limit", {2}}}),
             ContainsSubstring("\"time_step_limit\" has 1 values; expected 2"));
  CHECK_THAT(refused("bamba", {{"mamba_n_groups", 3}}), ContainsSubstring("mamba_n_groups = 3"));
  CHECK_THAT(refused("granitemoehybrid", {{"layer_types", {"mamba", "mamba", "mamba", "conv"}}}),
             ContainsSubstring("layer_types"));
  CHECK_THAT(refused("granitemoehybrid", {{"position_embedding_type", "alibi"}}), ContainsSubstring("alibi"));
  CHECK_THAT(refused("granitemoehybrid", {{"normalization_function", "layernorm"}}), ContainsSubstring("layernorm"));
  CHECK_THAT(refused("falcon_h1", {{"mamba_n_heads", 32}, {"ssm_multipliers", {1, 1}}}),
             ContainsSubstring("\"ssm_multipliers\" has 2 values; expected 5"));
  CHECK_THAT(refused("falcon_h1", {{"mamba_n_heads", 32}, {"mamba_use_mlp", false}}),
             ContainsSubstring("mamba_use_mlp"));
  CHECK_THAT(refused("lfm2", {{"conv_dim", 512}}), ContainsSubstring("\"conv_dim\" is 512; expected 1024"));
  CHECK_THAT(refused("lfm2", {{"conv_L_cache", 0}, {"full_attn_idxs", {0}}}), ContainsSubstring("conv_L_cache = 0"));
  CHECK_THAT(refused("lfm2", {{"block_multiple_of", 0}}), ContainsSubstring("block_multiple_of"));
  CHECK_THAT(refused("qwen3_5", {{"attn_output_gate", false}}), ContainsSubstring("attn_output_gate"));
  CHECK_THAT(refused("qwen3_5", {{"linear_num_value_heads", 24}}),
             ContainsSubstring("24 value heads with 16 key heads"));
  CHECK_THAT(refused("qwen3_5", {{"full_attention_interval", 0}}), ContainsSubstring("full_attention_interval"));
  CHECK_THAT(refused("qwen3_next", {{"decoder_sparse_step", 0}}), ContainsSubstring("decoder_sparse_step"));
}
