#include "task.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>
#include <precis/core/random.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>
#include <utility>

namespace program {
namespace {

template<class Reckon>
[[nodiscard]] task all_pairs(std::string name, std::size_t below, std::string_view sign, Reckon&& reckon) {
  task t{.name = std::move(name), .prompts = {}, .answers = {}};
  for (std::size_t a = 0; a < below; ++a)
    for (std::size_t b = 0; b < below; ++b) {
      t.prompts.push_back(fmt::format("{} {} {} =", a, sign, b));
      t.answers.push_back(fmt::format(" {}", reckon(a, b)));
    }
  return t;
}

}  // namespace

task integer_sums() {
  return all_pairs("INT-SUM", 100, "+", [](std::size_t a, std::size_t b) { return a + b; });
}
task integer_products() {
  return all_pairs("INT-MULT", 20, "x", [](std::size_t a, std::size_t b) { return a * b; });
}

task load_task(const std::filesystem::path& path) {
  const engine::mapped_file file(path);
  task t{.name = path.filename().string(), .prompts = {}, .answers = {}};
  std::size_t number = 0;
  for (std::string_view rest = file.text(); !rest.empty();) {
    ++number;
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const std::string where = fmt::format("{}, line {}", path.string(), number);
    const engine::json value = engine::parse_json(line, where);
    const engine::json_object keys(value, where);
    t.prompts.push_back(keys.text("prompt"));
    t.answers.push_back(keys.text("answer"));
    if (t.prompts.back().empty() || t.answers.back().empty())
      keys.refuse("an empty prompt or answer", "a prompt, and exactly what should follow it");
  }
  if (t.prompts.empty())
    precis::refuse({.what = "no prompts",
                    .where = path.string(),
                    .expected = "JSON lines such as {\"prompt\": \"3 + 4 =\", \"answer\": \" 7\"}"});
  return t;
}

std::string to_json_lines(const task& t) {
  std::string out;
  for (std::size_t i = 0; i < t.prompts.size(); ++i)
    out += engine::json{{"prompt", t.prompts[i]}, {"answer", t.answers[i]}}.dump() + "\n";
  return out;
}

std::size_t questions::fixed_length() const noexcept {
  for (const precis::token_batch& b : batches)
    if (b.tokens != batches.front().tokens) return 0;
  return batches.empty() ? 0 : batches.front().tokens;
}

precis::token_batch question(std::vector<precis::token> prompt, precis::token answer) {
  precis::token_batch b = precis::prompts(1, std::move(prompt));
  b.targets.assign(b.ids.size(), precis::no_target);
  b.targets.back() = answer;
  return b;
}

questions ask(const engine::tokenizer& tokenizer, const task& t, std::size_t context) {
  questions out{.name = t.name, .batches = {}};
  for (std::size_t i = 0; i < t.prompts.size(); ++i) {
    std::vector<precis::token> prompt = tokenizer.encode(t.prompts[i]);
    const std::vector<precis::token> answer = tokenizer.encode(t.answers[i], engine::start::middle);
    if (prompt.empty() || answer.empty() || prompt.size() > context)
      precis::refuse(
          {.what = fmt::format("prompt {} of {} has {} tokens, its answer {}", i, t.name, prompt.size(), answer.size()),
           .where = "task",
           .expected = fmt::format("1 to {}, the model's context, and at least 1", context)});
    out.longer_answers += answer.size() > 1 ? 1u : 0u;
    out.batches.push_back(question(std::move(prompt), answer.front()));
  }
  return out;
}

precis::token_batch side_by_side(const questions& all, std::span<const std::size_t> which, precis::token padding) {
  precis::token_batch out{.sequences = which.size(), .tokens = 0, .ids = {}, .targets = {}};
  for (const std::size_t i : which) out.tokens = std::max(out.tokens, all.batches[i].tokens);
  out.ids.reserve(out.sequences * out.tokens);
  out.targets.reserve(out.sequences * out.tokens);
  for (const std::size_t i : which) {
    const precis::token_batch& b = all.batches[i];
    out.ids.insert(out.ids.end(), b.ids.begin(), b.ids.end());
    out.ids.insert(out.ids.end(), out.tokens - b.tokens, padding);
    out.targets.insert(out.targets.end(), b.targets.begin(), b.targets.end());
    out.targets.insert(out.targets.end(), out.tokens - b.tokens, precis::no_target);
  }
  return out;
}

precis::token unused_token(const questions& all, std::size_t vocabulary) {
  std::vector<bool> used(vocabulary);
  for (const precis::token_batch& b : all.batches)
    for (const precis::token id : b.ids) {
      PRECIS_EXPECTS(id >= 0 && static_cast<std::size_t>(id) < vocabulary, "ids below the vocabulary");
      used[static_cast<std::size_t>(id)] = true;
    }
  for (std::size_t id = vocabulary; id-- > 0;)
    if (!used[id]) return static_cast<precis::token>(id);
  precis::refuse({.what = fmt::format("the prompts of {} use all {} tokens", all.name, vocabulary),
                  .where = "task",
                  .expected = "prompts of one length, or a token to fill up with"});
}

task_split split(std::size_t prompts, std::uint64_t seed) {
  if (prompts < 10)
    precis::refuse({.what = fmt::format("{} prompts", prompts),
                    .where = "task",
                    .expected = "at least 10: some to score on, some to choose by, some to report"});
  std::vector<std::size_t> order(prompts);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const precis::random_stream random(seed, precis::purpose("task split"));
  for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random.below(k, k)]);
  const auto choosing = static_cast<std::ptrdiff_t>(prompts / 10),
             training = static_cast<std::ptrdiff_t>(prompts * 7 / 10);
  return {.train = {order.begin(), order.begin() + training},
          .validation = {order.begin() + training, order.begin() + training + choosing},
          .test = {order.begin() + training + choosing, order.end()}};
}

}  // namespace program
