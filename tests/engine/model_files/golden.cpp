#include <engine/model/math.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

// Against an independent implementation in double. Its README states the tolerances: relative 1e-4 for losses and
// norms, absolute 2e-3 for logits (1e-4 for their median), tokens exactly.

using namespace precis;

namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

nlohmann::json json_of(const std::filesystem::path& path) { return nlohmann::json::parse(text_of(path)); }

void check_logits(const engine::transformer& model, const nlohmann::json& golden) {
  const float_matrix z = model.logits(prompts(1, golden.at("ids").get<std::vector<token>>()), positions::all);
  std::vector<double> errors;
  for (const auto& position : golden.at("positions")) {
    const auto t = position.at("t").get<std::size_t>();
    CHECK(engine::log_sum_exp(z.row(t)) == Approx(position.at("logsumexp").get<double>()).epsilon(1e-4));
    for (const auto& entry : position.at("top")) {
      const double found = static_cast<double>(z(t, entry.at(0).get<std::size_t>()));
      errors.push_back(std::abs(found - entry.at(1).get<double>()));
    }
  }
  REQUIRE(errors.size() == 24);
  std::ranges::sort(errors);
  CHECK(errors.back() < 2e-3);
  CHECK(errors[errors.size() / 2] < 1e-4);
}

token best(std::span<const float> logits) {
  return static_cast<token>(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace

TEST_CASE("GPT-2: the golden logits", "[engine][golden][oracle]") {
  const auto folder = shared_path("models/imdb-gpt2"), golden = shared_path("golden/imdb-gpt2/logits.json");
  if (!folder || !golden) return;
  check_logits(engine::transformer(engine::load(*folder).weights), json_of(*golden));
}

TEST_CASE("GPT-2: the golden loss of every window, and the perplexities", "[engine][golden][oracle][slow]") {
  const auto folder = shared_path("models/imdb-gpt2"), golden = shared_path("golden/imdb-gpt2/perplexity.json");
  if (!folder || !golden) return;
  engine::bundle loaded = engine::load(*folder);
  REQUIRE(loaded.tokenizer);
  const engine::transformer model(std::move(loaded.weights));
  const nlohmann::json texts = json_of(*golden);
  for (const auto& [name, expected] : texts.items()) {
    const auto text = shared_path("data/" + name + ".txt");
    if (!text) return;
    const std::vector<token> ids = loaded.tokenizer.encode(text_of(*text));
    CHECK(ids.size() == expected.at("tokens_total").get<std::size_t>());
    const auto per_window = expected.at("nll_per_window").get<std::vector<double>>();
    const std::size_t length = expected.at("window").get<std::size_t>() - 1;
    REQUIRE(per_window.size() == 20);
    nll all;
    for (std::size_t i = 0; i < per_window.size(); ++i) {
      REQUIRE(ids.size() > (i + 1) * length);
      const nll window = model.loss(next_token_batch(1, std::span<const token>(ids).subspan(i * length, length + 1)));
      CHECK(window.count == length);
      CHECK(window.mean() == Approx(per_window[i]).epsilon(1e-4));
      all += window;
    }
    CHECK(std::exp(all.mean()) == Approx(expected.at("perplexity").get<double>()).epsilon(1e-4));
  }
}

TEST_CASE("GPT-2: the golden gradient of every matrix", "[engine][golden][oracle]") {
  const auto folder = shared_path("models/imdb-gpt2"), golden = shared_path("golden/imdb-gpt2/gradients.json");
  if (!folder || !golden) return;
  const engine::transformer model(engine::load(*folder).weights);
  const nlohmann::json expected = json_of(*golden);
  std::vector<token> ids;
  for (const auto& row : expected.at("batch"))
    for (const auto& id : row) ids.push_back(id.get<token>());
  const token_batch batch = next_token_batch(expected.at("batch").size(), ids);

  engine::weights gradient = zeros(model.shape());
  const nll loss = model.backward(batch, [](const linear_gradient&) {}, gradient);
  CHECK(loss.mean() == Approx(expected.at("nll").get<double>()).epsilon(1e-4));
  const engine::transformer gradients(std::move(gradient));  // for the names and views
  REQUIRE(expected.at("per_matrix").size() == model.matrices().size());
  const double per_prediction = 1.0 / static_cast<double>(loss.count);
  for (std::size_t i = 0; i < model.matrices().size(); ++i) {
    INFO(model.matrices()[i].name);
    const auto& e = expected.at("per_matrix").at(model.matrices()[i].name);
    const weight_view w = model.weights(i), g = gradients.weights(i);
    double weight_sq = 0, grad_sq = 0, inner = 0;
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) {
        const double a = static_cast<double>(w(r, c)), b = static_cast<double>(g(r, c)) * per_prediction;
        weight_sq += a * a;
        grad_sq += b * b;
        inner += a * b;
      }
    CHECK(weight_sq == Approx(e.at("weight_sq").get<double>()).epsilon(1e-6));
    CHECK(grad_sq == Approx(e.at("grad_sq").get<double>()).epsilon(1e-4));
    // An inner product may cancel, so its error is relative to the two norms.
    CHECK(inner ==
          Approx(e.at("grad_dot_weight").get<double>()).epsilon(1e-4).margin(1e-6 * std::sqrt(weight_sq * grad_sq)));
  }
}

TEST_CASE("Llama: the golden logits and the loss of every story", "[engine][golden][oracle]") {
  const auto file = shared_path("models/stories260K/stories260K.bin"), golden = shared_path("golden/stories260K.json");
  const auto stories = shared_path("data/stories-evaluation.tokens.json");
  if (!file || !golden || !stories) return;
  const engine::transformer model(engine::load(*file).weights);
  const nlohmann::json expected = json_of(*golden);
  check_logits(model, expected.at("logits"));

  const auto per_sequence = expected.at("evaluation_nll_per_sequence").get<std::vector<double>>();
  const auto sequences = json_of(*stories).at("sequences").get<std::vector<std::vector<token>>>();
  REQUIRE(sequences.size() == per_sequence.size());
  nll all;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const nll loss = model.loss(next_token_batch(1, sequences[i]));
    CHECK(loss.count == 255);
    CHECK(loss.mean() == Approx(per_sequence[i]).epsilon(1e-4));
    all += loss;
  }
  CHECK(std::exp(all.mean()) == Approx(expected.at("perplexity").get<double>()).epsilon(1e-4));
}

TEST_CASE("Llama: the golden greedy continuation, token by token", "[engine][golden][oracle]") {
  const auto file = shared_path("models/stories260K/stories260K.bin"), golden = shared_path("golden/stories260K.json");
  if (!file || !golden) return;
  const engine::transformer model(engine::load(*file).weights);
  const auto expected = json_of(*golden).at("greedy").at("ids").get<std::vector<token>>();
  std::vector<token> ids{expected.front()};
  while (ids.size() < expected.size()) ids.push_back(best(model.logits(prompts(1, ids), positions::last).row(0)));
  CHECK(ids == expected);
}
