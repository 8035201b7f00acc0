#include "jobs/text_windows.hpp"

#include "jobs/checkpoint.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>
#include <precis/measure/kl_divergence.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <span>
#include <utility>

namespace program {
namespace {

/// Tokens of a window where nothing is stated: contexts of 100,000 and more would make a whole text one window.
constexpr std::size_t longest_by_default = 2048;

/// The sequences of a file of token ids: {"sequences": [[1, 403, ...], ...]}.
[[nodiscard]] std::vector<std::vector<precis::token>> read_sequences(const engine::mapped_file& file,
                                                                     const std::string& where, std::size_t vocabulary) {
  const engine::json value = engine::parse_json(file.text(), where);
  const engine::json_object keys(value, where);
  const engine::json* const list = keys.find("sequences");
  if (list == nullptr || !list->is_array() || list->empty())
    keys.refuse("no sequences", "\"sequences\": a list of lists of token ids");
  std::vector<std::vector<precis::token>> out;
  for (const engine::json& each : *list) {
    std::vector<precis::token>& ids = out.emplace_back();
    if (!each.is_array()) keys.refuse("a sequence that is " + engine::type_of(each), "lists of token ids");
    for (const engine::json& id : each) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= vocabulary)
        keys.refuse(
            fmt::format("token {} in sequence {}", id.is_number() ? id.dump() : engine::type_of(id), out.size() - 1),
            fmt::format("whole numbers below {}, the vocabulary", vocabulary));
      ids.push_back(id.get<precis::token>());
    }
  }
  return out;
}

}  // namespace

namespace {

/// One window of a sequence.
[[nodiscard]] precis::token_batch window_at(std::span<const precis::token> sequence, std::size_t first,
                                            std::size_t length, std::optional<precis::token> bos) {
  if (!bos) return precis::next_token_batch(1, sequence.subspan(first, length + 1));
  std::vector<precis::token> ids{*bos};
  const std::span<const precis::token> own = sequence.subspan(first, length);
  ids.insert(ids.end(), own.begin(), own.end());
  return precis::next_token_batch(1, ids);
}

}  // namespace

text_windows read_windows(const session& s, const text_options& o) {
  if (o.bos && !s.bos)
    precis::refuse({.what = "--bos for a model whose files name no beginning-of-sequence token",
                    .where = s.name,
                    .expected = "no --bos"});
  const std::filesystem::path path(o.file);
  const engine::mapped_file file(path);
  const bool is_ids = path.extension() == ".json";
  std::vector<std::vector<precis::token>> sequences;
  if (is_ids)
    sequences = read_sequences(file, o.file, s.model.shape().vocabulary);
  else
    sequences.push_back(s.tokens.encode(file.text(), o.bos ? engine::start::text : engine::start::document));
  std::string special_tokens;
  if (!is_ids) special_tokens = s.tokens.in_text == engine::special_tokens::parsed ? "parsed" : "plain";
  std::size_t shortest = sequences.front().size();
  for (const std::vector<precis::token>& each : sequences) shortest = std::min(shortest, each.size());

  const std::size_t context = s.model.shape().context;
  text_windows out{.name = path.filename().string(),
                   .tokens = 0,
                   .length = o.length,
                   .windows = {},
                   .special_tokens = special_tokens,
                   .bos = o.bos};
  if (out.length == 0) {
    const std::size_t usual = std::min(context, longest_by_default);
    out.length = std::max<std::size_t>(std::min(std::max<std::size_t>(shortest, 2), usual) - 1, 1);
    if (!is_ids && out.length + 1 < usual)
      fmt::print(stderr, "precis: {} has {} tokens: one window of {} predictions instead of {}\n", out.name, shortest,
                 out.length, usual - 1);
  }
  if (out.length > context)
    precis::refuse({.what = fmt::format("windows of {} predictions", out.length),
                    .where = o.length_option,
                    .expected = fmt::format("at most {}, the model's context", context)});
  const std::size_t read_ahead = o.bos ? 0 : 1;  // a window's last prediction is the next one's first token
  std::size_t available = 0;
  for (const std::vector<precis::token>& each : sequences) {
    out.tokens += each.size();
    available += each.size() < 2 ? 0 : (each.size() - read_ahead) / out.length;
  }
  const bool fewer = o.windows > available;
  if (available == 0 || (fewer && o.windows_given))
    precis::refuse(
        {.what = fmt::format("{} tokens, {} whole windows of {} predictions", out.tokens, available, out.length),
         .where = o.file,
         .expected = fewer && available != 0 && !o.windows_option.empty()
                         ? fmt::format("{} of at most {}", o.windows_option, available)
                     : o.length_option.empty() ? std::string("a longer text")
                                               : "a longer text, or a smaller " + o.length_option});
  if (fewer)
    fmt::print(stderr, "precis: {} has {} windows of {} predictions: all are used, instead of {} by default\n",
               out.name, available, out.length, o.windows);
  const std::size_t count = o.windows == 0 || fewer ? available : o.windows;
  for (const std::vector<precis::token>& each : sequences)
    for (std::size_t i = 0; (i + 1) * out.length + read_ahead <= each.size() && out.windows.size() < count; ++i)
      out.windows.push_back(window_at(each, i * out.length, out.length, o.bos ? s.bos : std::nullopt));
  return out;
}

std::vector<precis::token_batch> batched(const text_windows& text) {
  constexpr std::size_t most = 8;
  std::vector<precis::token_batch> batches;
  for (const precis::token_batch& w : text.windows) {
    if (batches.empty() || batches.back().sequences == most)
      batches.push_back({.sequences = 0, .tokens = w.tokens, .ids = {}, .targets = {}});
    precis::token_batch& b = batches.back();
    ++b.sequences;
    b.ids.insert(b.ids.end(), w.ids.begin(), w.ids.end());
    b.targets.insert(b.targets.end(), w.targets.begin(), w.targets.end());
  }
  return batches;
}

namespace {

/// body(i) for every window, kept in a checkpoint under `prefix` and the window's number.
template<class Body>
[[nodiscard]] text_loss over_windows(const text_windows& text, const run_options& o, const std::string& label,
                                     const std::string& prefix, checkpoint* saved, Body&& body) {
  text_loss out;
  std::vector<std::optional<precis::nll>> each(text.windows.size());
  {
    progress bar(label, text.windows.size(), o.how());
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < each.size(); ++i) {
      const engine::json* before = saved == nullptr ? nullptr : saved->find(prefix + std::to_string(i));
      if (before == nullptr) {
        if (saved != nullptr && saved->elsewhere(i))
          bar.skip(1);
        else
          open.push_back(i);
        continue;
      }
      each[i] = precis::nll{.sum = before->at("sum"), .count = before->at("count")};
      bar.skip(1);
    }
    out.stopped = !o.pool().for_each_until_stopped(open.size(), [&](std::size_t k) {
      const std::size_t i = open[k];
      each[i] = body(i);
      if (saved != nullptr)
        saved->record(prefix + std::to_string(i), {{"sum", each[i]->sum}, {"count", each[i]->count}});
      bar.step();
    });
  }
  for (const auto& w : each) {
    if (!w) continue;
    out.report.windows.push_back(*w);
    out.report.total += *w;
  }
  if (out.report.windows.empty() && out.stopped) throw stopped{};
  return out;
}

}  // namespace

text_loss measure(const engine::transformer& model, const text_windows& text, const run_options& o,
                  const std::string& label, checkpoint* saved) {
  text_loss out = over_windows(text, o, label, "", saved, [&](std::size_t i) { return model.loss(text.windows[i]); });
  if (!std::isfinite(out.report.total.sum))
    precis::refuse({.what = fmt::format("the loss on {} is {}", text.name, out.report.total.sum),
                    .where = label,
                    .expected = "a finite loss: weights and activations without NaN or infinity"});
  return out;
}

text_loss divergence(const session& original, const session& s, const text_windows& text, const run_options& o,
                     checkpoint* saved) {
  return over_windows(text, o, "comparing with " + original.name, "kl.", saved, [&](std::size_t i) {
    const precis::measure::kl_report found =
        precis::measure::kl_divergence{}(original.model, s.model, std::span(text.windows).subspan(i, 1));
    return precis::nll{.sum = found.sum_nats, .count = found.count};
  });
}

}  // namespace program
