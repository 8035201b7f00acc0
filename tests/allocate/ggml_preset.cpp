#include <precis/allocate/ggml_preset.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using namespace precis;
using allocate::ggml_role;

namespace {

/// "2*q5_k q4_k" as q5_k, q5_k, q4_k.
std::vector<std::string> unrolled(const std::string& runs) {
  std::vector<std::string> types;
  std::istringstream words(runs);
  for (std::string word; words >> word;) {
    const std::size_t star = word.find('*');
    const std::size_t count = star == std::string::npos ? 1 : std::stoul(word.substr(0, star));
    types.insert(types.end(), count, star == std::string::npos ? word : word.substr(star + 1));
  }
  return types;
}

ggml_role role_of(const std::string& name, bool tied) {
  static const std::map<std::string, ggml_role> roles{
      {"output", ggml_role::output},          {"attn_q", ggml_role::attention_q},
      {"attn_k", ggml_role::attention_k},     {"attn_v", ggml_role::attention_v},
      {"attn_qkv", ggml_role::attention_qkv}, {"attn_output", ggml_role::attention_output},
      {"ffn_gate", ggml_role::ffn_gate},      {"ffn_up", ggml_role::ffn_up},
      {"ffn_down", ggml_role::ffn_down}};
  if (name == "token_embd") return tied ? ggml_role::output : ggml_role::token_embedding;
  if (name == "position_embd" || name == "ffn_gate_inp") return ggml_role::kept;
  const std::size_t experts = name.find("_exps");
  return roles.at(name.substr(0, experts));
}

}  // namespace

TEST_CASE("ggml_preset @post: the types of llama-quantize, tensor by tensor", "[allocate][ggml_preset][oracle]") {
  const auto path = shared_path("golden/presets.json");
  if (!path) return;
  std::ifstream file(*path);
  const auto golden = nlohmann::json::parse(file);
  std::size_t seen = 0;
  for (const auto& [model_name, presets] : golden.at("types").items()) {
    const auto& shape = golden.at("models").at(model_name);
    const bool tied = shape.value("tied", false);
    const allocate::ggml_model model{
        .layers = shape.at("layers"),
        .heads_per_key = shape.at("heads").get<std::size_t>() / shape.at("kv").get<std::size_t>(),
        .experts = shape.value("experts", std::size_t{0})};
    for (const auto& [preset, cases] : presets.items()) {
      for (const bool importance : {false, true}) {
        const allocate::ggml_preset choose{.name = preset, .importance = importance};
        CAPTURE(model_name, preset, importance);
        const auto& expected = cases.contains("any") ? cases.at("any") : cases.at(importance ? "imatrix" : "plain");
        CHECK((expected.is_string() || cases.value("imatrix_required", false) == choose.needs_importance()));
        std::vector<allocate::ggml_tensor> tensors;
        std::vector<std::string> types;
        if (expected.is_object())
          for (const auto& [name, runs] : expected.items()) {
            const std::vector<std::string> each = unrolled(runs);
            for (std::size_t l = 0; l < each.size(); ++l) {
              tensors.push_back({.role = role_of(name, tied),
                                 .columns = 256,
                                 .layer = l,
                                 .experts = name.find("_exps") != std::string::npos});
              types.push_back(each[l] == "f16" ? "" : each[l]);
            }
          }
        if (expected.is_string() || (choose.needs_importance() && !importance)) {
          CHECK_THROWS(choose(tensors, model));
          continue;
        }
        CHECK(choose(tensors, model) == types);
        ++seen;
      }
    }
  }
  CHECK(seen > 400);
}

TEST_CASE("ggml_preset: rows that are no whole blocks get llama-quantize's substitutes",
          "[allocate][ggml_preset][oracle]") {
  const auto path = shared_path("golden/presets.json");
  if (!path) return;
  std::ifstream file(*path);
  const auto golden = nlohmann::json::parse(file);
  for (const auto& [columns, wanted] : golden.at("fallback").items())
    for (const auto& [type, used] : wanted.items()) {
      CAPTURE(columns, type);
      const std::size_t n = std::stoul(columns);
      const auto renamed = [](std::string name) { return name == "f16" ? std::string("float16") : name; };
      if (used.is_string()) {
        const std::string name = used;
        CHECK(allocate::ggml_preset::fitting(type, n) == (name == "refused" ? "" : renamed(name)));
        continue;
      }
      const std::string preset = type.substr(7);
      std::vector<allocate::ggml_tensor> tensors;
      std::vector<std::string> types;
      for (const auto& [name, one] : used.items()) {
        tensors.push_back({.role = role_of(name, false), .columns = n});
        types.push_back(renamed(one));
      }
      CHECK(allocate::ggml_preset{.name = preset, .importance = true}(tensors, {.layers = 1}) == types);
    }
}

TEST_CASE("ggml_preset refuses what it does not know, with what it knows", "[allocate][ggml_preset][refusal]") {
  const allocate::ggml_model model{.layers = 1};
  REQUIRE_THROWS_WITH((allocate::ggml_preset{.name = "Q4_K"}({}, model)),
                      ContainsSubstring("'Q4_K'") && ContainsSubstring("Q4_K_M"));
  REQUIRE_THROWS_WITH((allocate::ggml_preset{.name = "IQ2_XS"}({}, model)), ContainsSubstring("importance matrix"));
}
