#include <engine/files/safetensors.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/encoder.hpp>
#include <engine/model_files/load.hpp>

#include "catch.hpp"
#include "engine/random_models.hpp"
#include "refusal.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

using namespace precis;
using engine::encoder;

// Complete checkpoints of every family of encoders, laid out as their publishers do, with what the original
// implementations compute from them in double precision.

namespace {

struct golden_case {
  std::string folder;
  double hidden = 5e-5;
};

const golden_case cases[] = {{"bert"},  {"roberta"},    {"xlm_roberta"},     {"distilbert"},
                             {"mpnet"}, {"modernbert"}, {"t5_encoder", 3e-4}};

/// Squared norms of a tensor of the file and of its gradient, and their inner product.
struct norms {
  double w2 = 0, g2 = 0, wg = 0;
};

/// The name of the tensor of the file that one of the engine's is, or is a part of.
std::string name_in_file(const engine::config& c, const engine::knobs& k, const std::string& name) {
  const engine::family& f = engine::family_of(c);
  if (f.part_of != nullptr)
    if (const auto part = f.part_of(c, k, name)) return part->whole;
  return name;
}

std::vector<float> floats_of(const engine::safetensors& file, const std::string& name) {
  const engine::tensor_entry* const entry = file.find(name);
  REQUIRE(entry != nullptr);
  std::vector<float> values(entry->bytes / sizeof(float));
  engine::decode(entry->type, file.bytes(*entry), values);
  return values;
}

double worst_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

engine::text_batch batch_of_case(const nlohmann::json& expected) {
  engine::text_batch b;
  b.sequences = expected["input_ids"].size();
  b.tokens = expected["input_ids"][0].size();
  for (std::size_t s = 0; s < b.sequences; ++s) {
    const auto ids = expected["input_ids"][s].get<std::vector<token>>();
    b.ids.insert(b.ids.end(), ids.begin(), ids.end());
    const auto mask = expected["attention_mask"][s].get<std::vector<int>>();
    b.lengths.push_back(static_cast<std::size_t>(std::ranges::count(mask, 1)));
    if (expected.contains("token_type_ids")) {
      const auto types = expected["token_type_ids"][s].get<std::vector<token>>();
      b.types.insert(b.types.end(), types.begin(), types.end());
    }
  }
  return b;
}

}  // namespace

TEST_CASE("sentence encoders agree with the original implementations", "[engine][golden]") {
  const golden_case& of = GENERATE(from_range(std::begin(cases), std::end(cases)));
  const auto folder = shared_path("golden/families/" + of.folder);
  if (!folder) return;
  INFO(of.folder);
  const nlohmann::json expected = nlohmann::json::parse(std::ifstream(*folder / "expected.json"));
  const engine::safetensors values(*folder / "expected.safetensors");
  engine::bundle loaded = engine::load(*folder);
  const std::size_t width = loaded.config().width;
  const encoder model(std::move(loaded.weights), engine::read_sentence_settings(*folder, width));
  CHECK(model.sentence().normalize);
  const engine::config& c = model.shape();
  const engine::text_batch b = batch_of_case(expected);

  std::vector<float> first;  // [layers + 1 x texts x width]
  const float_matrix hidden = model.hidden(b, [&](site at, activations_view<float> x) {
    if (at.kind == site_kind::residual)
      for (std::size_t s = 0; s < b.sequences; ++s) first.insert(first.end(), x(s, 0).begin(), x(s, 0).end());
  });
  const std::vector<float> wanted = floats_of(values, "last_hidden");
  REQUIRE(wanted.size() == hidden.values.size());
  double worst = 0;
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.length(s); ++t) {
      const std::size_t row = s * b.tokens + t;
      worst = std::max(worst, worst_difference(hidden.row(row), std::span(wanted).subspan(row * width, width)));
    }
  CHECK(worst < of.hidden);

  CHECK(worst_difference(first, floats_of(values, "hidden_first")) < of.hidden);

  const float_matrix embeddings = model.embeddings(b);
  CHECK(worst_difference(embeddings.values, floats_of(values, "embedding")) < 5e-6);
  CHECK(1 - engine::cosine_distance(embeddings.row(0), embeddings.row(1)) ==
        Approx(expected["cosine_0_1"].get<double>()).margin(5e-6));

  // Gradients of the cosine of the first two embeddings, which have length 1.
  float_matrix d(b.sequences, width);
  for (std::size_t f = 0; f < width; ++f) {
    d(0, f) = embeddings(1, f);
    d(1, f) = embeddings(0, f);
  }
  engine::weights gradient = engine::zeros(c);
  model.backward_from(b, d, [](const linear_gradient&) {}, gradient);
  std::map<std::string, norms> sums;
  const std::vector<engine::tensor_values> weights = engine::all_values(model.parameters());
  const auto gradients = engine::tensors(gradient);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    norms& n = sums[name_in_file(c, model.settings(), weights[i].name)];
    const std::span<const float> own = weights[i].read();
    for (std::size_t j = 0; j < own.size(); ++j) {
      const auto w = static_cast<double>(own[j]), g = static_cast<double>(gradients[i].values[j]);
      n.w2 += w * w;
      n.g2 += g * g;
      n.wg += w * g;
    }
  }
  double most = 0;
  for (const auto& [name, n] : sums) most = std::max(most, n.g2);
  std::size_t compared = 0;
  for (const auto& [name, want] : expected["gradients"].items()) {
    INFO(name);
    const double g2 = want["g2"], w2 = want["w2"], wg = want["wg"];
    if (g2 < 1e-12 * most) continue;
    REQUIRE(sums.contains(name));
    const norms& n = sums[name];
    CHECK(n.w2 == Approx(w2).epsilon(1e-5));
    CHECK(n.g2 == Approx(g2).epsilon(2e-4));
    CHECK(std::abs(n.wg - wg) < 2e-4 * std::sqrt(w2 * g2));
    ++compared;
  }
  CHECK(compared > 5);
}

namespace {

/// A config.json of a tiny model of every family, with settings that are not the usual ones.
const std::string tiny_configs[] = {
    R"({"model_type": "bert", "architectures": ["BertModel"], "num_hidden_layers": 2, "hidden_size": 12,
        "num_attention_heads": 3, "intermediate_size": 20, "vocab_size": 23, "max_position_embeddings": 16,
        "hidden_act": "silu", "layer_norm_eps": 0.01, "type_vocab_size": 3})",
    R"({"model_type": "roberta", "num_hidden_layers": 2, "hidden_size": 12, "num_attention_heads": 3,
        "intermediate_size": 20, "vocab_size": 23, "max_position_embeddings": 16, "pad_token_id": 2})",
    R"({"model_type": "distilbert", "n_layers": 2, "dim": 12, "n_heads": 2, "hidden_dim": 20, "vocab_size": 23,
        "max_position_embeddings": 16, "activation": "gelu_new"})",
    R"({"model_type": "mpnet", "num_hidden_layers": 2, "hidden_size": 12, "num_attention_heads": 3,
        "intermediate_size": 20, "vocab_size": 23, "max_position_embeddings": 16})",
    R"({"model_type": "modernbert", "num_hidden_layers": 3, "hidden_size": 12, "num_attention_heads": 3,
        "intermediate_size": 10, "vocab_size": 23, "max_position_embeddings": 64, "local_attention": 4,
        "global_attn_every_n_layers": 2, "attention_bias": true, "hidden_activation": "silu"})",
    R"({"model_type": "t5", "num_layers": 2, "d_model": 12, "num_heads": 2, "d_kv": 5, "d_ff": 20, "vocab_size": 23,
        "n_positions": 64, "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 12})"};

encoder tiny_encoder(const std::string& text, engine::sentence_settings s) {
  engine::weights w = engine::zeros(engine::parse_config(text, "config.json"));
  random_models::numbers random{7};
  for (engine::tensor<float>& t : engine::tensors(w)) {
    const bool scale = t.shape.size() == 1 && t.name.find("bias") == std::string::npos;
    for (float& x : t.values) x = 0.5f * random.next() + (scale ? 1.f : 0.f);
  }
  return encoder(std::move(w), std::move(s));
}

const std::vector<std::vector<token>> tiny_texts{{1, 5, 2, 9, 22, 3, 3, 8, 11}, {4, 2, 7}, {6}};

}  // namespace

TEST_CASE("sentence encoders: padding and other texts change no bit", "[engine][encoder]") {
  for (const std::string& config : tiny_configs) {
    INFO(config);
    const encoder model = tiny_encoder(config, {.normalize = true});
    const float_matrix together = model.embeddings(engine::texts(tiny_texts));
    for (std::size_t i = 0; i < tiny_texts.size(); ++i) {
      const float_matrix alone = model.embeddings(engine::texts(std::span(tiny_texts).subspan(i, 1)));
      CHECK(std::ranges::equal(alone.values, together.row(i)));
    }
  }
}

TEST_CASE("sentence encoders: gradients are those of finite differences", "[engine][encoder][numerical]") {
  const auto pooling = GENERATE(engine::pooling::mean, engine::pooling::first, engine::pooling::largest);
  for (const std::string& config : tiny_configs) {
    INFO(config);
    encoder model = tiny_encoder(config, {.pooling = pooling, .normalize = pooling != engine::pooling::first});
    engine::text_batch b = engine::texts(tiny_texts);
    random_models::numbers random{11};
    for (std::size_t i = 0; i < b.sequences * model.shape().width; ++i) b.references.push_back(random.next());
    engine::weights gradient = engine::zeros(model.shape());
    std::size_t handed = 0;
    const nll loss = model.backward(b, [&](const linear_gradient&) { ++handed; }, gradient);
    CHECK(handed == model.matrices().size());
    CHECK(loss == model.loss(b));
    // Along a random direction of each tensor.
    const auto parameters = engine::tensors(model.parameters());
    const auto gradients = engine::tensors(gradient);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::vector<float> before(parameters[i].values.begin(), parameters[i].values.end());
      std::vector<float> direction(before.size());
      double expected = 0;
      for (std::size_t j = 0; j < before.size(); ++j) {
        direction[j] = random.next();
        expected += static_cast<double>(direction[j]) * static_cast<double>(gradients[i].values[j]);
      }
      const auto at = [&](float step) {
        for (std::size_t j = 0; j < before.size(); ++j) parameters[i].values[j] = before[j] + step * direction[j];
        return model.loss(b).sum;
      };
      constexpr float step = 1e-3f;
      const double measured = (at(step) - at(-step)) / (2.0 * static_cast<double>(step));
      std::ranges::copy(before, parameters[i].values.begin());
      INFO(parameters[i].name);
      CHECK(measured == Approx(expected).epsilon(0.02).margin(2e-3));
    }
  }
}

TEST_CASE("sentence encoders: what a folder asks for and the engine does not do is refused", "[engine][encoder]") {
  const auto refused = [](const std::string& text) {
    return refusal([&] { (void)engine::parse_config(text, "config.json"); });
  };
  const std::string sizes =
      R"("num_hidden_layers": 2, "hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 20,
         "vocab_size": 23, "max_position_embeddings": 16})";
  CHECK_THAT(refused(R"({"model_type": "roberta", "architectures": ["RobertaForTokenClassification"], )" + sizes),
             ContainsSubstring("RobertaForTokenClassification"));
  CHECK_THAT(refused(R"({"model_type": "roberta", "pad_token_id": 15, )" + sizes),
             ContainsSubstring("\"max_position_embeddings\" is 16"));
  CHECK_THAT(refused(R"({"model_type": "mpnet", "relative_attention_num_buckets": 16, )" + sizes),
             ContainsSubstring("\"relative_attention_num_buckets\" is 16"));
  CHECK_THAT(refused(R"({"model_type": "bert", "architectures": ["BertModel"],
                         "position_embedding_type": "relative_key", )" +
                     sizes),
             ContainsSubstring("relative_key"));
}
