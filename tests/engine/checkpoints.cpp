#include <engine/files/json.hpp>
#include <engine/files/load.hpp>
#include <engine/model/encoder.hpp>
#include <engine/model/transformer.hpp>

#include "catch.hpp"
#include "engine/support.hpp"

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

// A tiny BERT, a tiny OPT and a tiny Phi, and what PyTorch computes with them in double: tests/engine/make_checkpoints.py makes them.
// Two blocks of float arithmetic on values near 1 are within 1e-5: some hundred roundings of 6e-8, hardly amplified.

using namespace precis;

namespace {

const std::filesystem::path checkpoints = PRECIS_SOURCE_DIR "/tests/engine/checkpoints";

engine::json golden_of(const std::string& model) {
  return engine::parse_json(support::slurp(checkpoints / model / "golden.json"), model);
}

template<class T>
std::vector<T> flat(const engine::json& rows) {
  std::vector<T> all;
  for (const auto& row : rows)
    for (const auto& value : row) all.push_back(value.get<T>());
  return all;
}

void check_logits(const float_matrix& z, const engine::json& rows) {
  const auto expected = flat<double>(rows);
  REQUIRE(z.values.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(static_cast<double>(z.values[i]) == Approx(expected[i]).margin(1e-5));
}

/// Squared norm, product with the weights, first and last value of the gradient of every parameter.
void check_gradients(const engine::bundle& model, const engine::weights& gradient, const engine::json& golden) {
  const auto values = tensors(model.weights), slopes = tensors(gradient);
  REQUIRE(golden.size() == slopes.size());
  for (std::size_t i = 0; i < slopes.size(); ++i) {
    INFO(model.stored[i].stored_name);
    const auto expected = golden.at(model.stored[i].stored_name).get<std::vector<double>>();
    double square = 0, inner = 0, weights = 0;
    for (std::size_t k = 0; k < slopes[i].values.size(); ++k) {
      const auto w = static_cast<double>(values[i].values[k]), g = static_cast<double>(slopes[i].values[k]);
      square += g * g;
      inner += g * w;
      weights += w * w;
    }
    // Relative to the gradient's length, and not below 1e-6, some roundings of terms near 1: a key's bias moves all scores
    // of a query alike, so its gradient is 0 and here nothing but roundings.
    const double error = 1e-5 * std::sqrt(expected[0]) + 1e-6;
    CHECK(square == Approx(expected[0]).epsilon(1e-4).margin(1e-8));
    CHECK(inner == Approx(expected[1]).margin(error * std::sqrt(weights)));
    CHECK(static_cast<double>(slopes[i].values.front()) == Approx(expected[2]).margin(error));
    CHECK(static_cast<double>(slopes[i].values.back()) == Approx(expected[3]).margin(error));
  }
}

}  // namespace

TEST_CASE("BERT: logits, loss and every gradient of a padded batch are PyTorch's", "[engine][checkpoints][oracle]") {
  const engine::bundle loaded = engine::load(checkpoints / "bert");
  const engine::json golden = golden_of("bert");
  CHECK(loaded.labels == std::vector<std::string>{"bad", "good", "unclear"});
  const engine::encoder model(loaded.weights);
  const auto texts = golden.at("texts").get<std::vector<std::string>>();
  std::vector<std::vector<token>> sequences;
  for (const std::string& text : texts) sequences.push_back(loaded.tokenizer.encode(text));
  engine::text_batch b = engine::texts(sequences, golden.at("labels").get<std::vector<token>>());
  b.types = flat<token>(golden.at("types"));
  CHECK(b.lengths == golden.at("lengths").get<std::vector<std::size_t>>());
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.length(s); ++t)
      CHECK(b.ids[s * b.tokens + t] == golden.at("ids").at(s).at(t).get<token>());

  check_logits(model.logits(b), golden.at("logits"));
  engine::weights gradient = zeros(model.shape());
  const nll loss = model.backward(b, [](const linear_gradient&) {}, gradient);
  CHECK(loss.sum == Approx(golden.at("loss_sum").get<double>()).epsilon(1e-5));
  CHECK(loss.count == 4);
  check_gradients(loaded, gradient, golden.at("gradients"));
}

TEST_CASE("OPT and Phi: logits, loss and every gradient are PyTorch's", "[engine][checkpoints][oracle]") {
  const std::string name = GENERATE("opt", "phi");
  INFO(name);
  const engine::bundle loaded = engine::load(checkpoints / name);
  const engine::json golden = golden_of(name);
  const engine::transformer model(loaded.weights);
  const token_batch b = next_token_batch(3, flat<token>(golden.at("batch")));
  check_logits(model.logits(b, positions::last), golden.at("last_logits"));
  engine::weights gradient = zeros(model.shape());
  const nll loss = model.backward(b, [](const linear_gradient&) {}, gradient);
  CHECK(loss.sum == Approx(golden.at("loss_sum").get<double>()).epsilon(1e-5));
  check_gradients(loaded, gradient, golden.at("gradients"));
}

TEST_CASE("OPT: documents begin with </s>, other texts do not", "[engine][checkpoints][tokenizer][oracle]") {
  const engine::bundle loaded = engine::load(checkpoints / "opt");
  const engine::json golden = golden_of("opt");
  for (const auto& expected : golden.at("tokenizer")) {
    const auto text = expected.at("text").get<std::string>();
    auto ids = expected.at("ids").get<std::vector<token>>();
    CHECK(loaded.tokenizer.encode(text) == ids);
    CHECK(loaded.tokenizer.encode_with_offsets(text).front() == engine::token_span{2, 0, 0});
    ids.erase(ids.begin());
    CHECK(loaded.tokenizer.encode(text, engine::start::middle) == ids);
    CHECK(loaded.tokenizer.decode(ids) == text);
  }
  CHECK(loaded.bos == 2);
}

TEST_CASE("WordPiece: every case of the reference, lowered or not", "[engine][checkpoints][tokenizer][oracle]") {
  using engine::wordpiece;
  const std::string vocab = support::slurp(checkpoints / "bert" / "vocab.txt");
  const wordpiece uncased(vocab), cased(vocab, wordpiece::letters::cased);
  const engine::json golden = golden_of("bert");
  REQUIRE(golden.at("wordpiece").size() > 30);
  for (const auto& expected : golden.at("wordpiece")) {
    const auto text = expected.at("text").get<std::string>();
    INFO(text);
    const auto ids = [&](const wordpiece& t) {
      std::vector<token> found;
      std::size_t at = 0;
      for (const engine::token_span& s : t.encode_with_offsets(text, engine::start::document)) {
        CHECK(s.first_byte >= at);  // in order, and within the text
        CHECK(s.end_byte >= s.first_byte);
        at = s.first_byte;
        CHECK(s.end_byte <= text.size());
        found.push_back(s.id);
      }
      return found;
    };
    CHECK(ids(uncased) == expected.at("uncased").get<std::vector<token>>());
    CHECK(ids(cased) == expected.at("cased").get<std::vector<token>>());
  }
}
