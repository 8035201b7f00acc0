#include "jobs/verdicts.hpp"
#include "jobs/classifier.hpp"

#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>
#include <precis/core/executor.hpp>
#include <precis/evaluate/accuracy.hpp>

#include "catch.hpp"
#include "refusal.hpp"
#include "run.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

const std::string checkpoints = PRECIS_SOURCE_DIR "/tests/engine/checkpoints";

const std::string three =
    "{\"text\": \"the film was good\", \"label\": \"good\"}\n"
    "\n"
    "{\"label\": \"bad\", \"text\": \"the film was not good\", \"stars\": 1}\r\n"
    "{\"text\": \"bad bad bad\", \"label\": \"bad\"}";

}  // namespace

TEST_CASE("verdicts: JSON lines, labels in order of first occurrence", "[program][verdicts][worked-example]") {
  const scratch here("verdicts-read");
  test::write(here / "v.jsonl", three);
  const program::verdict_file v = program::load_verdicts(here / "v.jsonl");
  CHECK(v.texts == std::vector<std::string>{"the film was good", "the film was not good", "bad bad bad"});
  CHECK(v.labels == std::vector<std::size_t>{0, 1, 1});
  CHECK(v.choices == std::vector<std::string>{"good", "bad"});
  CHECK(v.most_frequent() == Approx(2.0 / 3));

  const auto refused = [&](const std::string& text) {
    test::write(here / "bad.jsonl", text);
    return refusal([&] { (void)program::load_verdicts(here / "bad.jsonl"); });
  };
  CHECK_THAT(refused("\n{\"text\": \"x\"}"), ContainsSubstring("bad.jsonl, line 2: key \"label\" is missing"));
  CHECK_THAT(refused("{\"text\": 3, \"label\": \"x\"}"), ContainsSubstring("\"text\" is the number 3"));
  CHECK_THAT(refused("{\"text\": \"\", \"label\": \"x\"}"), ContainsSubstring("an empty text or label"));
  CHECK_THAT(refused("{\"text\": \"y\", \"label\": \"x\"}\n"), ContainsSubstring("1 texts with 1 different labels"));
  CHECK_THAT(refused("[\n"), ContainsSubstring("line 1: not valid JSON"));
}

TEST_CASE("verdicts: the end of the text, the question, the label's token", "[program][verdicts][worked-example]") {
  const engine::tokenizer t = engine::load_tokenizer(checkpoints + "/opt");  // documents begin with </s>, token 2
  program::verdict_file v{"v", {"the good thing", "a"}, {0, 1}, {"good", "the"}};
  const program::questions q = program::ask(t, v, 3, 20);
  CHECK(q.among == std::vector<precis::token>{t.encode(" good", engine::start::middle).front(),
                                              t.encode(" the", engine::start::middle).front()});
  REQUIRE(q.batches.size() == 2);
  const std::vector<precis::token>& ids = q.batches[0].ids;
  CHECK(ids.front() == 2);
  CHECK(t.decode(std::span(ids).subspan(1)) == "thing\nVerdict:");  // th, in, g
  CHECK(q.batches[0].targets.back() == q.among[0]);
  CHECK(q.batches[0].targets[3] == precis::no_target);
  CHECK(t.decode(std::span(q.batches[1].ids).subspan(1)) == "a\nVerdict:");
  CHECK(q.batches[1].targets.back() == q.among[1]);

  CHECK_THAT(refusal([&] { (void)program::ask(t, v, 12, 20); }), ContainsSubstring("at most 20 in all"));
  CHECK_THAT(refusal([&] { (void)program::ask(t, v, 0, 20); }), ContainsSubstring("at least 1 of the text"));
  v.choices[1] = "good one";
  CHECK_THAT(refusal([&] { (void)program::ask(t, v, 3, 20); }),
             ContainsSubstring("labels 'good' and 'good one' begin with the same token ' good'"));
}

TEST_CASE("verdicts: a classifier's labels by name, its texts cut to the context", "[program][verdicts]") {
  const engine::tokenizer t = engine::load_tokenizer(checkpoints + "/bert");
  const program::verdict_file v{"v", {"the film was good", "bad"}, {0, 1}, {"Good", "BAD"}};
  const std::vector<std::string> labels{"bad", "good", "unclear"};
  const auto batches = program::classify(t, v, labels, 5);
  CHECK(batches[0].labels == std::vector<precis::token>{1});
  CHECK(batches[1].labels == std::vector<precis::token>{0});
  CHECK(batches[0].ids == std::vector<precis::token>{2, 5, 6, 7, 3});  // [CLS] the film was [SEP]
  CHECK(batches[1].ids == std::vector<precis::token>{2, 9, 3});
  const std::vector<std::string> others{"LABEL_0", "LABEL_1"};
  CHECK_THAT(
      refusal([&] { (void)program::classify(t, v, others, 5); }),
      ContainsSubstring("the label 'Good', which the classifier does not have; expected one of LABEL_0, LABEL_1"));
}

TEST_CASE("evaluate --verdicts: a classifier and a language model, against a direct count",
          "[program][verdicts][oracle]") {
  const scratch here("verdicts-run");
  test::write(here / "v.jsonl", three);
  const auto bert = run(here.path(), {"evaluate", checkpoints + "/bert", "--verdicts", "v.jsonl", "--against",
                                      checkpoints + "/bert", "--json", "b.json"});
  INFO(bert.text);
  REQUIRE(bert.status == 0);
  const auto b = nlohmann::json::parse(test::read(here / "b.json"));
  {
    const engine::bundle loaded = engine::load(checkpoints + "/bert");
    const engine::encoder model(loaded.weights);
    const program::verdict_file v = program::load_verdicts(here / "v.jsonl");
    std::size_t correct = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const std::vector<precis::token> ids = loaded.tokenizer.encode(v.texts[i]);
      const precis::float_matrix z = model.logits(engine::texts(std::span(&ids, 1)));
      const std::size_t best = precis::measure::argmax(z.row(0));
      correct += loaded.labels[best] == v.choices[v.labels[i]] ? 1u : 0u;
    }
    CHECK(b.at("verdicts_correct") == correct);
  }
  CHECK(b.at("verdicts") == 3);
  CHECK(b.at("against_verdicts_correct") == b.at("verdicts_correct"));
  CHECK(b.at("complete") == true);
  CHECK(!std::filesystem::exists(here / "b.json.partial"));
  const auto swapped = run(here.path(), {"evaluate", checkpoints + "/bert", "--verdicts", "v.jsonl", "--labels",
                                         "other,bad,good", "--json", "s.json"});
  REQUIRE(swapped.status == 0);
  CHECK(nlohmann::json::parse(test::read(here / "s.json")).at("labels") == nlohmann::json{"other", "bad", "good"});

  const auto both = run(here.path(), {"evaluate", world, "--text", world + "/heldout.txt", "--windows", "2",
                                      "--verdicts", "v.jsonl", "--verdict-tokens", "8", "--json", "w.json"});
  INFO(both.text);
  REQUIRE(both.status == 0);
  const auto w = nlohmann::json::parse(test::read(here / "w.json"));
  CHECK(w.at("verdicts") == 3);
  CHECK(w.contains("perplexity"));
  CHECK(w.at("accuracy").get<double>() == Approx(w.at("verdicts_correct").get<double>() / 3));

  const auto refused = [&](std::vector<std::string> arguments, const std::string& says) {
    arguments.insert(arguments.begin(), "evaluate");
    const auto o = run(here.path(), arguments);
    CHECK(o.status == 2);
    CHECK_THAT(o.text, ContainsSubstring(says));
  };
  refused({world}, "--text FILE or --verdicts FILE");
  refused({checkpoints + "/bert", "--text", "v.jsonl"}, "a classifier without verdicts");
  refused({checkpoints + "/bert", "--verdicts", "v.jsonl", "--labels", "good,bad"}, "2 labels; expected 3");
  refused({checkpoints + "/bert", "--verdicts", "v.jsonl", "--against", world}, "a GPT-2; expected an encoder");
  refused({world, "--verdicts", "nowhere.jsonl"}, "nowhere.jsonl");
  const auto scored = run(here.path(), {"score", checkpoints + "/bert", "--scorer", "weight_magnitude"});
  CHECK(scored.status == 2);
  CHECK_THAT(scored.text, ContainsSubstring("a classifier; expected a language model"));
}
