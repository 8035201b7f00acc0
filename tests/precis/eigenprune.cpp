#include "jobs/facts.hpp"
#include "jobs/pruned_spectrum.hpp"
#include "jobs/task.hpp"
#include "jobs/verdicts.hpp"

#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>
#include <precis/evaluate/accuracy.hpp>

#include "catch.hpp"
#include "refusal.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

using test::run;
using test::scratch;

namespace {

const std::string arithmetic = PRECIS_SOURCE_DIR "/examples/models/arithmetic";

nlohmann::json json(const std::filesystem::path& file) { return nlohmann::json::parse(test::read(file)); }

double accuracy_of(const engine::transformer& model, const program::questions& q,
                   const std::vector<std::size_t>& which) {
  std::vector<precis::token_batch> asked;
  for (const std::size_t i : which) asked.push_back(q.batches[i]);
  return precis::evaluate::accuracy{.among = q.among}(model, asked).share();
}

}  // namespace

TEST_CASE("tasks: all sums and products, and JSON lines", "[program][task][worked-example]") {
  const program::task sums = program::integer_sums(), products = program::integer_products();
  CHECK(sums.prompts.size() == 10'000);
  CHECK(sums.prompts[2345] == "23 + 45 =");
  CHECK(sums.answers[2345] == " 68");
  CHECK(products.prompts.size() == 400);
  CHECK(products.prompts[7 * 20 + 12] == "7 x 12 =");
  CHECK(products.answers[7 * 20 + 12] == " 84");
  CHECK(std::set<std::string>(sums.prompts.begin(), sums.prompts.end()).size() == 10'000);

  const scratch here("task");
  test::write(here / "t.jsonl",
              "\n" + program::to_json_lines(products) + "{\"answer\": \" b\", \"prompt\": \"a\", \"n\": 1}\r\n");
  program::task read = program::load_task(here / "t.jsonl");
  CHECK(read.prompts.back() == "a");
  CHECK(read.answers.back() == " b");
  read.prompts.pop_back();
  read.answers.pop_back();
  CHECK(read.prompts == products.prompts);
  CHECK(read.answers == products.answers);

  const auto refused = [&](const std::string& text) {
    test::write(here / "bad.jsonl", text);
    return refusal([&] { (void)program::load_task(here / "bad.jsonl"); });
  };
  CHECK_THAT(refused("{\"prompt\": \"x\"}"), ContainsSubstring("line 1: key \"answer\" is missing"));
  CHECK_THAT(refused("{\"prompt\": \"x\", \"answer\": \"y\"}\n{\"prompt\": 3, \"answer\": \"y\"}"),
             ContainsSubstring("line 2: key \"prompt\" is the number 3"));
  CHECK_THAT(refused("{\"prompt\": \"\", \"answer\": \"y\"}"), ContainsSubstring("an empty prompt or answer"));
  CHECK_THAT(refused("\n\n"), ContainsSubstring("no prompts"));
  CHECK_THAT(refused("{\"prompt\""), ContainsSubstring("line 1: not valid JSON"));
}

TEST_CASE("questions: the first token of the answer, padding on the right, a split by seed", "[program][task]") {
  const engine::tokenizer t = engine::load_tokenizer(arithmetic);
  const program::task two{.name = "two", .prompts = {"1 + 2 =", "1 + 2 + 3 ="}, .answers = {" 3", " 6 apples"}};
  const program::questions q = program::ask(t, two, 64);
  CHECK(q.fixed_length() == 0);
  CHECK(q.longer_answers == 1);
  REQUIRE(q.batches.size() == 2);
  CHECK(q.batches[0].targets.back() == t.encode(" 3", engine::start::middle).front());
  CHECK(std::ranges::count(q.batches[1].targets, precis::no_target) ==
        static_cast<std::ptrdiff_t>(q.batches[1].tokens - 1));
  CHECK_THAT(refusal([&] { (void)program::ask(t, two, q.batches[0].tokens); }), ContainsSubstring("prompt 1 of two"));

  const precis::token padding = program::unused_token(q, t.size());
  const std::vector<std::size_t> both{1, 0};
  const precis::token_batch b = program::side_by_side(q, both, padding);
  CHECK(b.sequences == 2);
  CHECK(b.tokens == q.batches[1].tokens);
  CHECK(b.ids.back() == padding);
  CHECK(b.targets.back() == precis::no_target);
  CHECK(std::ranges::equal(b.sequence(0), q.batches[1].ids));
  const engine::transformer model(engine::load(arithmetic).weights);
  const precis::nll together = model.loss(b), first = model.loss(q.batches[1]), second = model.loss(q.batches[0]);
  CHECK(together.sum == first.sum + second.sum);  // padding on the right changes no bit
  CHECK(together.count == 2);
  CHECK(std::ranges::count(b.ids, padding) == static_cast<std::ptrdiff_t>(q.batches[1].tokens - q.batches[0].tokens));
  const program::questions full{.name = "full", .batches = {program::question({0, 2, 1}, 0)}};
  CHECK(program::unused_token(full, 4) == 3);
  CHECK_THAT(refusal([&] { (void)program::unused_token(full, 3); }), ContainsSubstring("use all 3 tokens"));
  CHECK_THAT(refusal([&] { (void)program::split(9, 0); }), ContainsSubstring("at least 10"));

  const program::task_split parts = program::split(400, 3);
  CHECK(parts.train.size() == 280);
  CHECK(parts.validation.size() == 40);
  CHECK(parts.test.size() == 80);
  std::set<std::size_t> seen;
  for (const auto* part : {&parts.train, &parts.validation, &parts.test}) seen.insert(part->begin(), part->end());
  CHECK(seen.size() == 400);
  CHECK(program::split(400, 3).test == parts.test);
  CHECK(program::split(400, 4).test != parts.test);
}

TEST_CASE("eigenprune removes the lowest scores and reports the answers of the pruned model", "[program][oracle]") {
  const scratch here("eigenprune");
  const std::vector<std::string> command{"eigenprune", arithmetic, "--task", "int-mult",  "-p", "0.02,0.3",   "--out",
                                         "report",     "--json",   "r.json", "--threads", "1",  "--controls", "1"};
  const auto done = run(here.path(), command);
  INFO(done.text);
  REQUIRE(done.status == 0);
  CHECK_THAT(done.text, ContainsSubstring("With portion ") && ContainsSubstring("the model is "));
  const nlohmann::json r = json(here / "r.json");
  CHECK(r.at("slices") == 16);  // 4 layers of 4 heads
  CHECK(r.at("values") == 512);
  CHECK(r.at("rows")[0].at("removed") == 10);
  CHECK(r.at("rows")[1].at("removed") == 153);
  CHECK(r.at("random")[0].at("removed") == r.at("smallest").at("removed"));
  for (const char* file : {"spectra.txt", "effects.svg", "spectrum.svg", "report.html"})
    CHECK(std::filesystem::file_size(here / ("report/" + std::string(file))) > 1000);

  // The same computed from the file of spectra.
  engine::bundle loaded = engine::load(arithmetic);
  const engine::transformer model(std::move(loaded.weights));
  const program::questions q = program::ask(loaded.tokenizer, program::integer_products(), 64);
  const program::task_split parts = program::split(400, 0);
  CHECK(r.at("tokens") == q.fixed_length());
  CHECK(r.at("original").at("test_accuracy").get<double>() == Approx(accuracy_of(model, q, parts.test)));
  const precis::spectra spectra = precis::parse_spectra(test::read(here / "report/spectra.txt"), model.matrices());
  const precis::token_batch samples = program::side_by_side(q, parts.train, precis::no_target);
  std::vector<std::size_t> matrices;
  for (std::size_t m = 0; m < model.matrices().size(); ++m) matrices.push_back(m);
  const precis::measure::input_means means =
      precis::measure::gather_means(model, std::span<const precis::token_batch>(&samples, 1), matrices);
  for (std::size_t i = 0; i < 2; ++i) {
    engine::transformer pruned = model;
    const precis::prune::eigenpruning how{.portion = i == 0 ? 0.02 : 0.3,
                                          .bias = precis::prune::eigenpruning::absorption::token};
    static_cast<void>(how(pruned, spectra, means));
    CHECK(r.at("rows")[i].at("test_accuracy").get<double>() == Approx(accuracy_of(pruned, q, parts.test)));
    CHECK(r.at("rows")[i].at("validation_accuracy").get<double>() == Approx(accuracy_of(pruned, q, parts.validation)));
  }
  // The number of threads changes nothing.
  std::vector<std::string> again = command;
  *std::ranges::find(again, "1") = "3";
  REQUIRE(run(here.path(), again).status == 0);
  nlohmann::json one = r, three = json(here / "r.json");
  for (nlohmann::json* j : {&one, &three})
    for (const char* key : {"scoring_seconds", "pruning_seconds"}) j->erase(key);
  CHECK(one == three);
}

TEST_CASE("eigenprune: prompts of any length, and a saved model that answers as reported", "[program][oracle]") {
  const scratch here("eigenprune-lengths");
  program::task t{.name = "", .prompts = {}, .answers = {}};
  for (std::size_t a = 1; a < 9; ++a)
    for (std::size_t b = 1; b < 9; ++b) {
      t.prompts.push_back((a % 2 == 0 ? "0 + " : "") + std::to_string(a) + " + " + std::to_string(b) + " =");
      t.answers.push_back(" " + std::to_string(a + b));
    }
  test::write(here / "t.jsonl", program::to_json_lines(t));
  const auto done = run(here.path(), {"eigenprune", arithmetic, "--task", "t.jsonl", "--roles", "q,k,v,o,mlp", "-p",
                                      "0.2", "--save", "pruned", "--json", "r.json", "--controls", "0", "--quiet",
                                      "--scores", "useful.scores", "--units", "half"});
  INFO(done.text);
  REQUIRE(done.status == 0);
  const auto planned = run(here.path(), {"plan", arithmetic, "--scores", "useful.scores", "--allocator", "knapsack",
                                         "--budget", "4bpw", "--out", "useful.plan"});
  INFO(planned.text);
  CHECK(planned.status == 0);  // the same scores feed the allocators
  CHECK_THAT(done.text, ContainsSubstring("of different lengths"));
  const auto again = run(here.path(), {"eigenprune", (here / "pruned").string(), "--task", "t.jsonl", "-p", "0.001",
                                       "--json", "s.json", "--controls", "0", "--quiet"});
  INFO(again.text);
  REQUIRE(again.status == 0);
  const nlohmann::json r = json(here / "r.json"), s = json(here / "s.json");
  CHECK(s.at("original").at("test_accuracy") == r.at("rows")[0].at("test_accuracy"));
  CHECK(s.at("original").at("test_nats").get<double>() == Approx(r.at("rows")[0].at("test_nats").get<double>()));
  CHECK(s.at("rows")[0].at("removed") == 0);  // floor(0.001 x 512): nothing is removed, nothing changes
  CHECK(s.at("rows")[0].at("test_nats") == s.at("original").at("test_nats"));
  CHECK_THAT(again.text, ContainsSubstring("the model is no different at this task"));
}

TEST_CASE("eigenprune refuses bad requests before any work", "[program][refusal]") {
  const scratch here("eigenprune-refusals");
  const auto said = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"eigenprune", arithmetic});
    const auto o = run(here.path(), more);
    CHECK(o.status == 2);
    return o.text;
  };
  CHECK_THAT(said({}), ContainsSubstring("one of --task FILE, --facts FILE and --verdicts FILE"));
  CHECK_THAT(said({"--task", "int-sum", "-p", "0.1,2"}), ContainsSubstring("'2'"));
  CHECK_THAT(said({"--task", "int-sum", "-p", ""}), ContainsSubstring("-p"));
  CHECK_THAT(said({"--task", "int-sum", "--roles", "k,heads"}), ContainsSubstring("'heads'"));
  CHECK_THAT(said({"--task", "int-sum", "--save", "x"}), ContainsSubstring("--bias global"));
  CHECK_THAT(said({"--task", "nowhere.jsonl"}), ContainsSubstring("nowhere.jsonl"));
  test::write(here / "few.jsonl",
              "{\"prompt\": \"1 + 1 =\", \"answer\": \" 2\"}\n{\"prompt\": \"1 =\", \"answer\": \" 1\"}\n");
  CHECK_THAT(said({"--task", "few.jsonl"}), ContainsSubstring("at least 10"));
  std::string text;
  for (std::size_t i = 0; i < 12; ++i)
    text += "{\"prompt\": \"" + std::string(i % 2 == 0 ? "1 + " : "") + "1 =\", \"answer\": \" 2\"}\n";
  test::write(here / "lengths.jsonl", text);
  CHECK_THAT(said({"--task", "lengths.jsonl", "--bias", "token"}), ContainsSubstring("prompts of different lengths"));
  CHECK(here.entries() == 2);
}
