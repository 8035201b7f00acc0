#include "jobs/task.hpp"

#include "jobs/json_lines.hpp"

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

template<class Compute>
[[nodiscard]] task all_pairs(std::string name, std::size_t below, std::string_view sign, Compute&& compute) {
  task t{.name = std::move(name), .prompts = {}, .answers = {}};
  for (std::size_t a = 0; a < below; ++a)
    for (std::size_t b = 0; b < below; ++b) {
      t.prompts.push_back(fmt::format("{} {} {} =", a, sign, b));
      t.answers.push_back(fmt::format(" {}", compute(a, b)));
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

task load_task(const std::filesystem::path& path) { return parse_task(engine::mapped_file(path).text(), path); }

task parse_task(std::string_view text, const std::filesystem::path& path) {
  task t{.name = path.filename().string(), .prompts = {}, .answers = {}};
  for_each_json_line(text, path.string(), [&](const engine::json_object& line) {
    t.prompts.push_back(line.text("prompt"));
    t.answers.push_back(line.text("answer"));
    if (t.prompts.back().empty() || t.answers.back().empty())
      line.refuse("an empty prompt or answer", "a prompt, and exactly the text that should follow it");
  });
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
                  .expected = "prompts of one length, or a vocabulary with an unused token to pad with"});
}

task_split split(std::size_t prompts, std::uint64_t seed) {
  if (prompts < 10)
    precis::refuse({.what = fmt::format("{} prompts", prompts),
                    .where = "task",
                    .expected = "at least 10, to split into training, validation and test prompts"});
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
