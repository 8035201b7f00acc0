#include <engine/files/safetensors.hpp>
#include <engine/model/encoder.hpp>
#include <engine/model_files/load.hpp>

#include "catch.hpp"
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

const golden_case cases[] = {{"bert"},  {"roberta"},    {"xlm_roberta"}, {"distilbert"},
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

  // The last row of the file is after the final norm, where there is one.
  if (model.settings().final_norm)
    for (std::size_t s = 0; s < b.sequences; ++s)
      std::ranges::copy(hidden.row(s * b.tokens),
                        first.end() - static_cast<std::ptrdiff_t>((b.sequences - s) * width));
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
  const auto weights = engine::tensors(model.parameters());
  const auto gradients = engine::tensors(gradient);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    norms& n = sums[name_in_file(c, model.settings(), weights[i].name)];
    for (std::size_t j = 0; j < weights[i].values.size(); ++j) {
      const auto w = static_cast<double>(weights[i].values[j]), g = static_cast<double>(gradients[i].values[j]);
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
