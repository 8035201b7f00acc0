#include "catch.hpp"
#include "run.hpp"

#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

TEST_CASE("options that would be ignored are refused before any work", "[program][refusal]") {
  const scratch here("ignored");
  const std::string text = world + "/heldout.txt", facts = world + "/facts.json";
  struct row {
    std::vector<std::string> command;
    std::string option, when;
  };
  const std::vector<row> table{
      {{"evaluate", world, "--facts", facts, "--windows", "2"}, "--windows", "--text"},
      {{"evaluate", world, "--facts", facts, "--context", "8"}, "--context", "--text"},
      {{"evaluate", world, "--text", text, "--verdict-tokens", "9"}, "--verdict-tokens", "--verdicts"},
      {{"evaluate", world, "--text", text, "--labels", "a,b"}, "--labels", "--verdicts and a classifier"},
      {{"cost", world, "--by", "weights", "--text", text}, "--text", "--by other than weights"},
      {{"cost", world, "--by", "weights", "--windows", "2"}, "--windows", "--text"},
      {{"cost", world, "--by", "weights", "--activations", "int8"}, "--activations", "--time"},
      {{"cost", world, "--by", "weights", "--time-threads", "2"}, "--time-threads", "--time"},
      {{"cost", world, "--by", "weights", "--resume"}, "--resume", "--by measured or measured_nll"},
      {{"cost", world, "--by", "reconstruction", "--text", text, "--partial", "p"}, "--partial", "--by measured"},
      {{"cost", world, "--by", "weights", "--special-tokens", "plain"}, "--special-tokens", "--text"},
      {{"score", world, "--scorer", "weight_magnitude", "--text", text}, "--text", "a scorer that reads text"},
      {{"score", world, "--scorer", "cca", "--text", text, "--fit", "nearest"}, "--fit", "reconstruction_error"},
      {{"score", world, "--scorer", "cca", "--text", text, "--resume"}, "--resume", "causal_trace, taylor"},
      {{"compare", world, "--text", text, "--verdict-texts", "3"}, "--verdict-texts", "--verdicts"},
      {{"compare", world, "--text", text, "--verdict-tokens", "3"}, "--verdict-tokens", "--verdicts"},
      {{"compare", world, "--text", text, "--runs", "3"}, "--runs", "--scorers causal_trace"},
      {{"compare", world, "--text", text, "--draws", "2"}, "--draws", "--scorers taylor, input_taylor"},
      {{"compare", world, "--text", text, "--costs", "", "--cost-units", "half"}, "--cost-units", "--costs"},
      {{"compare", world, "--text", text, "--calibration-windows", "2"}, "--calibration-windows", "--calibration"},
      {{"compare", world, "--text", text, "--scorers", "weight_magnitude", "--costs", "weights", "--calibration", text},
       "--calibration",
       "scorers or costs that read text"},
      {{"sweep", world, "--text", text, "--scorers", "weight_magnitude", "--facts", facts}, "--facts", "causal_trace"},
      {{"sweep", world, "--text", text, "--scorers", "weight_magnitude", "--seed", "3"}, "--seed", "causal_trace"},
      {{"evolve", world, "--text", text, "--budget", "4bpw", "--costs", facts, "--units", "half"},
       "--units",
       "--costs"},
      {{"eigenprune", world, "--facts", facts, "--units", "half"}, "--units", "--scores"},
      {{"eigenprune", world, "--facts", facts, "--verdict-tokens", "3"}, "--verdict-tokens", "--verdicts"}};
  for (const row& r : table) {
    const auto done = run(here.path(), r.command);
    CAPTURE(r.command, done.text);
    CHECK(done.status == 2);
    CHECK_THAT(done.text, ContainsSubstring(r.option + ": would be ignored; expected it only with "));
    CHECK_THAT(done.text, ContainsSubstring(r.when));
  }
  CHECK(here.entries() == 0);
}
