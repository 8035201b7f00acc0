#include <precis/score/causal_trace.hpp>

#include <precis/model/whole_forwards.hpp>

#include <engine/files/json.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

// Compares with an independent implementation in double on a real model. Probabilities have a relative tolerance of
// 1e-4; entries of a table also an absolute one of 1e-4 of the clean probability, because some are tiny.

using namespace precis;

namespace {

struct real_model {
  engine::bundle files;
  engine::transformer model;
  explicit real_model(const std::filesystem::path& folder) : files(engine::load(folder)), model(files.weights) {}
};

engine::json json_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return engine::json::parse(file);
}

score::fact fact_of(const engine::json& j) {
  return {.name = j.at("prompt"),
          .prompt = j.at("ids").get<std::vector<token>>(),
          .subject_begin = j.at("subject_range").at(0),
          .subject_end = j.at("subject_range").at(1),
          .answer = j.at("answer")};
}

activations noise_of(const engine::json& j) {
  const auto values = j.at("noise_scaled").get<std::vector<std::vector<std::vector<float>>>>();
  activations noise(values.size(), values[0].size(), values[0][0].size());
  for (std::size_t k = 0; k < noise.sequences; ++k)
    for (std::size_t t = 0; t < noise.tokens; ++t) std::ranges::copy(values[k][t], noise.view()(k, t).begin());
  return noise;
}

score::restoration restoration_of(const std::string& name) {
  const std::size_t colon = name.find(':');
  const std::string kind = name.substr(0, colon);
  return {kind == "hidden" ? site_kind::residual
          : kind == "attn" ? site_kind::attention
                           : site_kind::mlp,
          static_cast<std::size_t>(std::stoul(name.substr(colon + 1)))};
}

}  // namespace

TEST_CASE("the noise scale of the real model's subjects", "[slow][score][causal_trace][golden][oracle]") {
  const auto folder = shared_path("models/imdb-gpt2"), golden = shared_path("golden/imdb-gpt2/causal_trace.json"),
             facts = shared_path("data/known_1000.json");
  if (!folder || !golden || !facts) return;
  const real_model real(*folder);
  // The golden scale is over the known facts: those for which the first token of the answer is the first choice.
  std::vector<std::vector<token>> subjects;
  const engine::tokenizer& tokens = real.files.tokenizer;
  for (const engine::json& f : json_of(*facts)) {
    const token answer = tokens.encode(" " + f.at("attribute").get<std::string>(), engine::start::middle).front();
    const float_matrix z =
        real.model.logits(prompts(1, tokens.encode(f.at("prompt").get<std::string>())), positions::last);
    if (score::predict_answer(z.row(0), answer).first_choice)
      subjects.push_back(tokens.encode(f.at("subject").get<std::string>()));
  }
  CHECK(subjects.size() == json_of(*golden).at("known_first_token").get<std::size_t>());
  CHECK(3 * score::embedding_deviation(real.model, subjects) ==
        Approx(json_of(*golden).at("sigma").get<double>()).epsilon(1e-4));
}

TEST_CASE("the golden tables of four facts", "[slow][score][causal_trace][golden][oracle]") {
  const auto folder = shared_path("models/imdb-gpt2"), golden = shared_path("golden/imdb-gpt2/causal_trace.json");
  if (!folder || !golden) return;
  const real_model real(*folder);
  const engine::json expected = json_of(*golden);
  for (const engine::json& each : expected.at("facts")) {
    const score::fact f = fact_of(each);
    INFO(f.name);
    std::vector<score::restoration> restorations;
    for (const auto& [name, table] : each.at("p_restored").items()) restorations.push_back(restoration_of(name));
    const activations noise = noise_of(each);
    const score::fact_trace trace =
        score::trace_fact(real.model, f, std::as_const(noise).view(), score::corruption::mode::add, restorations);
    CHECK(trace.known);
    CHECK(trace.clean == Approx(each.at("p_clean").get<double>()).epsilon(1e-4));
    CHECK(trace.corrupted == Approx(each.at("p_corrupt").get<double>()).epsilon(1e-4));
    std::size_t i = 0;
    for (const auto& [name, table] : each.at("p_restored").items()) {
      INFO(name);
      const auto rows = table.get<std::vector<std::vector<double>>>();
      const auto& found = trace.tables[i++].probability;
      REQUIRE(found.rows == rows.size());
      double worst = 0;
      for (std::size_t t = 0; t < found.rows; ++t)
        for (std::size_t l = 0; l < found.cols; ++l)
          worst = std::max(worst, std::abs(found(t, l) - rows[t][l]) / (rows[t][l] + trace.clean));
      CHECK(worst < 1e-4);
    }
  }
}

TEST_CASE("resumed restoration equals whole forwards on the real model, bit for bit",
          "[slow][score][causal_trace][golden][property]") {
  const auto folder = shared_path("models/imdb-gpt2"), golden = shared_path("golden/imdb-gpt2/causal_trace.json");
  if (!folder || !golden) return;
  const real_model real(*folder);
  const engine::json each = json_of(*golden).at("facts").at(0);
  const score::fact f = fact_of(each);
  activations noise = noise_of(each);
  noise.sequences = 2;  // two of the three runs
  noise.values.resize(2 * noise.tokens * noise.features);
  const std::vector<score::restoration> restorations{
      {site_kind::residual, 1}, {site_kind::attention, 1}, {site_kind::mlp, 10}};
  const auto view = std::as_const(noise).view();
  const score::fact_trace resumed = score::trace_fact(real.model, f, view, score::corruption::mode::add, restorations);
  const score::fact_trace whole =
      score::trace_fact(whole_forwards(real.model), f, view, score::corruption::mode::add, restorations);
  CHECK(resumed.tables == whole.tables);
  CHECK(resumed.corrupted == whole.corrupted);
  CHECK(4 * resumed.block_positions < whole.block_positions);
}
