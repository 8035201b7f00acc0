#include "arithmetic.hpp"

#include "byte_pairs.hpp"
#include "dice.hpp"

#include <engine/files/safetensors.hpp>
#include <engine/model_files/load.hpp>

#include <precis/core/thread_pool.hpp>
#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/perplexity.hpp>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace train {
namespace {

constexpr std::size_t largest_number = 19 * 19;

constexpr std::array<std::string_view, 7> days{"Monday", "Tuesday",  "Wednesday", "Thursday",
                                               "Friday", "Saturday", "Sunday"};
constexpr std::array<std::string_view, 12> months{"January",   "February", "March",    "April",
                                                  "May",       "June",     "July",     "August",
                                                  "September", "October",  "November", "December"};

/// A sentence about the successor of a member of a cycle, in one of two wordings.
[[nodiscard]] std::string successor(dice& d, std::string_view kind, std::span<const std::string_view> cycle) {
  const std::size_t i = d.below(cycle.size());
  const std::string a(cycle[i]), b(cycle[(i + 1) % cycle.size()]);
  return d.chance(50) ? "after " + a + " comes " + b : "the " + std::string(kind) + " before " + b + " is " + a;
}

[[nodiscard]] std::string line(dice& d) {
  const auto n = [](std::size_t value) { return std::to_string(value); };
  const std::size_t kind = d.below(100);
  if (kind < 34) {
    const std::size_t a = d.below(100), b = d.below(100);
    return n(a) + " + " + n(b) + " = " + n(a + b);
  }
  if (kind < 48) {
    const std::size_t a = d.below(20), b = d.below(20);
    return n(a) + " x " + n(b) + " = " + n(a * b);
  }
  if (kind < 58) {
    std::size_t a = d.below(100), b = d.below(100);
    if (a < b) std::swap(a, b);
    return n(a) + " - " + n(b) + " = " + n(a - b);
  }
  if (kind < 68) {
    const std::size_t a = d.below(200), b = d.below(200);
    return n(a) + " is " + (a > b ? "more than " : a < b ? "less than " : "as much as ") + n(b);
  }
  if (kind < 78) {
    const std::size_t first = d.below(90), step = 1 + d.below(9);
    std::string text = "count by " + n(step) + ":";
    for (std::size_t i = 0; i < 6; ++i) text += " " + n(first + i * step);
    return text;
  }
  if (kind < 88) {
    std::array<std::size_t, 4> values{};
    for (std::size_t& v : values) v = d.below(200);
    std::string text = "put in order";
    for (const std::size_t v : values) text += " " + n(v);
    std::ranges::sort(values);
    text += ":";
    for (const std::size_t v : values) text += " " + n(v);
    return text;
  }
  if (kind < 92) return successor(d, "day", days);
  if (kind < 96) return successor(d, "month", months);
  const auto letter = static_cast<char>('a' + d.below(25));
  return std::string("after ") + letter + " comes " + static_cast<char>(letter + 1);
}

/// Merges that make every number one token, with and without a leading blank. Digits are merged from the left.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> number_merges() {
  std::vector<std::pair<std::string, std::string>> merges;
  for (int digit = 0; digit <= 9; ++digit) merges.emplace_back(" ", std::to_string(digit));
  for (const std::string_view before : {" ", ""})
    for (std::size_t i = 10; i <= largest_number; ++i) {
      const std::string digits = std::to_string(i);
      merges.emplace_back(std::string(before) + digits.substr(0, digits.size() - 1), digits.substr(digits.size() - 1));
    }
  return merges;
}

}  // namespace

std::string arithmetic_text(std::uint64_t seed, std::string_view purpose, std::size_t bytes) {
  std::string text;
  for (std::uint64_t i = 0; text.size() < bytes; ++i) {
    dice d(seed, purpose, i);
    text += line(d) + "\n";
  }
  return text;
}

arithmetic_lesson prepare_arithmetic(std::uint64_t seed, std::size_t training_bytes) {
  const std::string text = arithmetic_text(seed, "arithmetic training", training_bytes);
  std::string words = text;  // the text for learning further merges, without the numbers
  std::erase_if(words, [](char c) { return c >= '0' && c <= '9'; });
  byte_pairs pairs = learn_byte_pairs(words, 512);
  const std::vector<std::pair<std::string, std::string>> numbers = number_merges();
  pairs.merges.insert(pairs.merges.begin(), numbers.begin(), numbers.end());

  arithmetic_lesson l{.vocab_json = pairs.vocab_json(),
                      .merges_txt = pairs.merges_txt(),
                      .tokenizer = engine::byte_bpe(pairs.vocab_json(), pairs.merges_txt()),
                      .training = {},
                      .held_out = arithmetic_text(seed, "arithmetic held out", 40'000),
                      .calibration = arithmetic_text(seed, "arithmetic calibration", 30'000)};
  bool at_start = true;
  for (const engine::token_span& t : l.tokenizer.encode_with_offsets(text)) {
    if (at_start) l.training.starts.push_back(l.training.ids.size());
    l.training.ids.push_back(t.id);
    at_start = text[t.end_byte - 1] == '\n';
  }
  return l;
}

engine::config arithmetic_shape(std::size_t vocabulary) {
  return {.layers = 4, .width = 128, .heads = 4, .kv_heads = 4, .hidden = 512, .vocabulary = vocabulary, .context = 64};
}

arithmetic_exam examine(const engine::transformer& model, const arithmetic_lesson& l, precis::thread_pool threads) {
  arithmetic_exam e;
  const auto share = [&](std::size_t below, std::string_view sign, auto&& reckon, std::size_t& asked,
                         std::size_t& right) {
    std::vector<precis::token_batch> batches(below);
    for (std::size_t a = 0; a < below; ++a) {
      precis::token_batch& batch = batches[a];
      for (std::size_t b = 0; b < below; ++b) {
        const std::string prompt = std::to_string(a) + std::string(sign) + std::to_string(b) + " =";
        const std::vector<precis::token> ids = l.tokenizer.encode(prompt);
        batch.tokens = ids.size();
        batch.ids.insert(batch.ids.end(), ids.begin(), ids.end());
        batch.targets.resize(batch.ids.size(), precis::no_target);
        batch.targets.back() = l.tokenizer.encode(" " + std::to_string(reckon(a, b)), engine::start::middle).front();
        ++batch.sequences;
      }
    }
    const auto report = precis::evaluate::accuracy{}(model, std::span<const precis::token_batch>(batches), threads);
    asked = report.count;
    right = report.correct;
  };
  share(100, " + ", [](std::size_t a, std::size_t b) { return a + b; }, e.sums, e.sums_right);
  share(20, " x ", [](std::size_t a, std::size_t b) { return a * b; }, e.products, e.products_right);

  const std::vector<precis::token> ids = l.tokenizer.encode(l.held_out);
  const std::size_t context = model.shape().context;
  std::vector<precis::token_batch> windows;
  for (std::size_t at = 0; at + context < ids.size(); at += context)
    windows.push_back(precis::next_token_batch(1, std::span<const precis::token>(ids).subspan(at, context + 1)));
  e.held_out_perplexity =
      precis::evaluate::perplexity{}(model, std::span<const precis::token_batch>(windows), threads).perplexity();
  return e;
}

void publish(const engine::weights& w, const arithmetic_lesson& l, const std::string& readme,
             const std::filesystem::path& folder) {
  engine::save(w, folder, engine::dtype::f16,
               {{"vocab.json", l.vocab_json},
                {"merges.txt", l.merges_txt},
                {"heldout.txt", l.held_out},
                {"calibration.txt", l.calibration},
                {"README.md", readme}},
               engine::atomic_folder::existing::replace);
}

}  // namespace train
