#include <engine/model/families/qwen3_hybrid.hpp>

#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

namespace engine {

config read_qwen3_hybrid(const json_object& keys, architecture a, std::size_t kv_heads) {
  config c = read_decoder(
      keys, a,
      {.kv_heads = kv_heads, .head_width = 256, .rotary_share = 0.25, .multimodal = a == architecture::qwen3_5});
  must_be_silu(keys, c);
  must_be(keys, "attn_output_gate", true);
  knobs& k = *c.knobs;
  k.norm_plus_one = true;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.query_key_norm = head_norm::per_head;
  k.output_gate = true;
  k.delta_net = {.key_heads = keys.whole_number_or("linear_num_key_heads", 16),
                 .value_heads = keys.whole_number_or("linear_num_value_heads", 32),
                 .key_width = keys.whole_number_or("linear_key_head_dim", 128),
                 .value_width = keys.whole_number_or("linear_value_head_dim", 128),
                 .conv_width = keys.whole_number_or("linear_conv_kernel_dim", 4)};
  check(k.delta_net, keys.where());
  std::vector<mixer> mixers;
  if (const auto types = read_layer_types(keys, c.layers, "full_attention linear_attention")) {
    mixers = mixers_named(*types, mixer::delta_net);
  } else {
    const std::size_t interval = keys.whole_number_or("full_attention_interval", 4);
    if (interval == 0) keys.refuse("key \"full_attention_interval\" is 0", "1 or more");
    for (std::size_t l = 0; l < c.layers; ++l)
      mixers.push_back((l + 1) % interval == 0 ? mixer::attention : mixer::delta_net);
  }
  set_mixers(c, mixers);
  return c;
}

void complete_delta_net(const gguf_reader& g, json& config) {
  const std::size_t heads = g.whole_or(".ssm.time_step_rank", 0), inner = g.whole_or(".ssm.inner_size", 0);
  if (heads == 0 || inner % heads != 0)
    g.keys().refuse(g.key(".ssm.time_step_rank"), "value heads that divide the inner size of " + std::to_string(inner));
  config["linear_num_key_heads"] = g.whole_or(".ssm.group_count", 0);
  config["linear_num_value_heads"] = heads;
  config["linear_key_head_dim"] = g.whole_or(".ssm.state_size", 0);
  config["linear_value_head_dim"] = inner / heads;
  config["linear_conv_kernel_dim"] = g.whole_or(".ssm.conv_kernel", 0);
  const std::size_t interval = g.whole_or(".full_attention_interval", 4);
  config["full_attention_interval"] = interval;
  const std::size_t first = interval == 0 ? 0 : interval - 1;  // the first layer with attention
  config["attention_bias"] = g.tensor("blk." + std::to_string(first) + ".attn_q.bias") != nullptr;
  if (g.has(".expert_shared_feed_forward_length"))
    config["shared_expert_intermediate_size"] = g.whole_or(".expert_shared_feed_forward_length", 0);
}

}  // namespace engine
