#include "jobs/pruned_spectrum.hpp"

#include "jobs/checkpoint.hpp"
#include "jobs/lists.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <engine/model_files/load.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/random.hpp>
#include <precis/evaluate/accuracy.hpp>
#include <precis/measure/log_sum_exp.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <span>
#include <utility>

namespace program {

using precis::prune::pruned_slice;

namespace {

[[nodiscard]] reply reply_of(std::span<const float> logits, precis::token wanted,
                             std::span<const precis::token> among) {
  const auto logit = [&](precis::token t) { return logits[static_cast<std::size_t>(t)]; };
  const precis::token best = among.empty() ? static_cast<precis::token>(precis::measure::argmax(logits))
                                           : *std::ranges::max_element(among, {}, logit);
  const reply r{.right = best == wanted,
                .nats = precis::measure::log_sum_exp(logits) - static_cast<double>(logit(wanted))};
  if (!std::isfinite(r.nats))
    precis::refuse({.what = "a loss that is not finite", .where = "eigenprune", .expected = "finite logits"});
  return r;
}

/// The model's replies, in the order of `which`. Prompts of the same length run in one batch.
[[nodiscard]] std::vector<reply> replies_of(const engine::transformer& model, const questions& q,
                                            std::span<const std::size_t> which, const run_options& o, progress& bar) {
  constexpr std::size_t batch_size = 32;
  std::map<std::size_t, std::vector<std::size_t>> by_length;  // indices into `which`
  for (std::size_t i = 0; i < which.size(); ++i) by_length[q.batches[which[i]].tokens].push_back(i);
  std::vector<std::span<const std::size_t>> pieces;
  for (const auto& [tokens, places] : by_length)
    for (std::size_t first = 0; first < places.size(); first += batch_size)
      pieces.push_back(std::span(places).subspan(first, std::min(batch_size, places.size() - first)));
  std::vector<reply> replies(which.size());
  o.pool().for_each(pieces.size(), [&](std::size_t p) {
    std::vector<std::size_t> asked;
    for (const std::size_t i : pieces[p]) asked.push_back(which[i]);
    const precis::token_batch batch = side_by_side(q, asked, precis::no_target);
    const precis::float_matrix z = model.logits(batch, precis::positions::last);
    for (std::size_t k = 0; k < asked.size(); ++k)
      replies[pieces[p][k]] = reply_of(z.row(k), q.batches[asked[k]].targets.back(), q.among);
    bar.step(asked.size());
  });
  return replies;
}

/// Replies as JSON and back, for checkpoints.
[[nodiscard]] engine::json to_json(const std::vector<reply>& replies) {
  engine::json out = engine::json::array();
  for (const reply& r : replies) out.push_back({r.right, r.nats});
  return out;
}
[[nodiscard]] std::vector<reply> replies_from(const engine::json& saved) {
  std::vector<reply> replies;
  for (const engine::json& r : saved) replies.push_back({.right = r.at(0), .nats = r.at(1)});
  return replies;
}

/// The same spectra with other scores, for controls.
template<class Score>
[[nodiscard]] precis::spectra with_other_scores(const precis::spectra& all, Score&& score) {
  precis::spectra other = all;
  for (std::size_t s = 0, n = 0; s < other.slices.size(); ++s)
    for (std::size_t k = 0; k < other.slices[s].scores.size(); ++k, ++n)
      other.slices[s].scores[k] = score(other.slices[s].values[k], n);
  return other;
}

}  // namespace

std::size_t prune_result::removed() const noexcept {
  std::size_t sum = 0;
  for (const pruned_slice& r : removals) sum += r.removed.size();
  return sum;
}

double share_right(const std::vector<reply>& replies) noexcept {
  return static_cast<double>(std::ranges::count(replies, true, &reply::right)) / static_cast<double>(replies.size());
}
double mean_nats(const std::vector<reply>& replies) noexcept {
  double sum = 0;
  for (const reply& r : replies) sum += r.nats;
  return sum / static_cast<double>(replies.size());
}

precis::evaluate::interval spectrum_result::gain_over(const prune_result& other) const {
  std::vector<double> gains;
  for (std::size_t i = 0; i < other.test.size(); ++i)
    gains.push_back((rows[chosen].test[i].right ? 1.0 : 0.0) - (other.test[i].right ? 1.0 : 0.0));
  return precis::evaluate::mean_interval(gains);
}

std::vector<precis::role> read_roles(const std::string& text, const std::string& option) {
  using precis::role;
  const std::pair<std::string_view, std::vector<role>> short_names[] = {
      {"q", {role::query}},
      {"k", {role::key}},
      {"v", {role::value}},
      {"o", {role::attention_out}},
      {"mlp", {role::mlp_in, role::mlp_gate, role::mlp_out}}};
  std::vector<role> roles;
  for (const std::string& word : split_commas(text)) {
    const auto* const known =
        std::ranges::find(short_names, std::string_view(word), &std::pair<std::string_view, std::vector<role>>::first);
    if (known != std::end(short_names))
      roles.insert(roles.end(), known->second.begin(), known->second.end());
    else if (const auto* const r = std::ranges::find(precis::all_roles, word, [](role x) { return to_string(x); });
             r != std::end(precis::all_roles))
      roles.push_back(*r);
    else
      precis::refuse(
          {.what = "'" + word + "'", .where = option, .expected = "q, k, v, o or mlp, comma-separated: k,v"});
  }
  return roles;
}

namespace {

[[nodiscard]] std::vector<precis::matrix_slice> chosen_slices(const session& s, const spectrum_request& r) {
  std::vector<precis::matrix_slice> slices = precis::of_roles(s.model.slices(), r.roles);
  if (slices.empty())
    precis::refuse({.what = s.name + " has no matrices of these roles",
                    .where = "--roles",
                    .expected = "roles that its blocks have, such as k"});
  return r.by_head ? precis::by_head(slices) : slices;
}

}  // namespace

spectrum_needs needs_of(const session& s, const spectrum_request& r, const questions& q, const task_split& parts) {
  const engine::config& c = s.model.shape();
  double tokens = 0, longest = 0;
  for (const precis::token_batch& b : q.batches) longest = std::max(longest, static_cast<double>(b.tokens));
  const auto tokens_of = [&](const std::vector<std::size_t>& which) {
    double sum = 0;
    for (const std::size_t i : which) sum += static_cast<double>(q.batches[i].tokens);
    return sum;
  };
  const auto weights = static_cast<double>(weight_count(s)), head = static_cast<double>(c.width * c.vocabulary);
  tokens = static_cast<double>(parts.train.size()) * longest;
  spectrum_needs n;
  const double forwards =
      r.scorer.pairs == precis::score::eigen_attribution::pairing::all ? 2 : 1;  // the means take one
  n.gradients = tokens * (4 + 2 * (forwards + 1)) * weights + static_cast<double>(parts.train.size()) * 6 * head;
  const double prunings = static_cast<double>(r.portions.size() + 1 + r.controls);
  std::map<std::size_t, double> inputs;  // of matrices with slices
  for (const precis::matrix_slice& slice : chosen_slices(s, r)) {
    const auto out = static_cast<double>(slice.out), in = static_cast<double>(slice.in),
               rank = static_cast<double>(slice.rank());
    n.svd += (prunings + 1) * (9 * rank * rank * rank + 4 * out * in * rank);
    n.effects += tokens * 2 * rank * (in + out);
    n.bytes += 4 * rank * (in + out);
    inputs[slice.matrix] = static_cast<double>(s.model.matrices()[slice.matrix].in);
  }
  for (const auto& [matrix, in] : inputs) n.bytes += 8 * longest * in;
  const double asked_validation = tokens_of(parts.validation), asked_test = tokens_of(parts.test);
  const auto questions_asked = static_cast<double>(parts.validation.size() + parts.test.size());
  n.replies = (prunings + 1) * ((asked_validation + asked_test) * 2 * weights + questions_asked * 2 * head);
  // The values that a backward pass keeps per token, and the gradients of one block.
  const auto width = static_cast<double>(c.width), hidden = static_cast<double>(c.hidden),
             keys = static_cast<double>(c.width + 2 * c.kv_width()), layers = static_cast<double>(c.layers);
  const double rows =
      longest * std::min(static_cast<double>(r.scorer.sequences_at_a_time), static_cast<double>(parts.train.size()));
  const double backward = 4 * rows * (layers * (5 * width + keys + 3 * hidden) + 6 * width + keys + 3 * hidden);
  std::size_t all = 0;
  for (const engine::tensor_values& tensor : engine::all_values(s.model.parameters())) all += tensor.size();
  n.bytes += std::max(backward, 4 * static_cast<double>(all));  // gradients first, then a pruned copy of the model
  return n;
}

spectrum_result prune_spectrum(const session& s, const spectrum_request& r, const questions& q, const task_split& parts,
                               const run_options& o, checkpoint* saved) {
  const std::vector<precis::matrix_slice> slices = chosen_slices(s, r);
  const std::size_t fixed = q.fixed_length();
  precis::score::eigen_attribution scorer = r.scorer;
  if (fixed == 0) scorer.padding = unused_token(q, s.model.shape().vocabulary);
  const precis::token_batch samples = side_by_side(q, parts.train, fixed == 0 ? scorer.padding : precis::no_target);
  const std::span<const precis::token_batch> one(&samples, 1);

  spectrum_result out{.spectra = {},
                      .means = {},
                      .samples = parts.train.size(),
                      .original = {},
                      .rows = {},
                      .smallest = {},
                      .random = {}};
  const auto known = [&](const std::string& key) { return saved == nullptr ? nullptr : saved->find(key); };
  auto began = std::chrono::steady_clock::now();
  if (const engine::json* before = known("spectra")) {
    out.spectra = precis::parse_spectra(before->get<std::string>(), s.model.matrices(), "partial results");
  } else {
    progress bar("scoring singular values", 1, o.how());
    out.spectra = scorer(s.model, one, slices, o.pool());
    out.spectra.model = s.fingerprint;
    if (saved != nullptr) saved->record("spectra", precis::to_text(out.spectra));
    bar.step();
  }
  std::vector<std::size_t> matrices;
  for (const precis::matrix_slice& slice : slices)
    if (matrices.empty() || matrices.back() != slice.matrix) matrices.push_back(slice.matrix);
  out.means = [&] {  // in batches: a batch holds all activations
    std::vector<precis::token_batch> pieces;
    for (std::size_t first = 0; first < parts.train.size(); first += scorer.sequences_at_a_time)
      pieces.push_back(side_by_side(
          q, std::span(parts.train).subspan(first, std::min(scorer.sequences_at_a_time, parts.train.size() - first)),
          fixed == 0 ? scorer.padding : precis::no_target));
    return precis::measure::gather_means(s.model, std::span<const precis::token_batch>(pieces), matrices,
                                         scorer.padding);
  }();
  out.scoring_seconds = seconds_since(began);

  began = std::chrono::steady_clock::now();
  const std::size_t asked = parts.validation.size() + parts.test.size();
  progress bar("pruning and asking", asked * (r.portions.size() + 2 + r.controls), o.how());
  const auto recall = [&](const std::string& key, prune_result& row) {
    const engine::json* const before = known(key);
    if (before == nullptr) return false;
    row.validation = replies_from(before->at("validation"));
    row.test = replies_from(before->at("test"));
    bar.skip(asked);
    return true;
  };
  const auto ask_all = [&](const std::string& key, const engine::transformer& model, prune_result& row) {
    row.validation = replies_of(model, q, parts.validation, o, bar);
    row.test = replies_of(model, q, parts.test, o, bar);
    if (saved != nullptr) saved->record(key, {{"validation", to_json(row.validation)}, {"test", to_json(row.test)}});
  };
  const auto prune_and_ask = [&](const std::string& key, const precis::spectra& scores, double portion) {
    precis::prune::eigenpruning how = r.how;
    how.portion = portion;
    prune_result row{.portion = portion};
    if (recall(key, row)) {
      row.removals = how.select(scores);
    } else {
      engine::transformer copy = s.model;
      row.removals = how(copy, scores, out.means);
      ask_all(key, copy, row);
    }
    return row;
  };
  if (!recall("original", out.original)) ask_all("original", s.model, out.original);
  for (const double p : r.portions) out.rows.push_back(prune_and_ask(fmt::format("portion {}", p), out.spectra, p));
  for (std::size_t i = 1; i < out.rows.size(); ++i) {
    const auto merit = [&](const prune_result& row) {
      return std::pair(share_right(row.validation), -mean_nats(row.validation));
    };
    if (merit(out.rows[i]) > merit(out.rows[out.chosen])) out.chosen = i;
  }
  const double portion = r.portions[out.chosen];
  out.smallest = prune_and_ask(
      "smallest", with_other_scores(out.spectra, [](double value, std::size_t) { return value; }), portion);
  for (std::size_t i = 0; i < r.controls; ++i) {
    const precis::random_stream draw(scorer.seed, precis::purpose("eigenprune control") + i);
    out.random.push_back(
        prune_and_ask(fmt::format("random {}", i),
                      with_other_scores(out.spectra, [&](double, std::size_t n) { return draw.uniform(n); }), portion));
  }
  out.pruning_seconds = seconds_since(began);
  return out;
}

precis::scores useful_shares(const session& s, const spectrum_result& r, precis::unit_kind units) {
  precis::scores table = precis::score::useful_singular_values{.portion = r.rows[r.chosen].portion, .units = units}(
      s.model.matrices(), r.spectra);
  table.model = s.fingerprint;
  return table;
}

void save_pruned(const session& s, const spectrum_result& r, precis::prune::eigenpruning how,
                 const std::filesystem::path& original, const std::filesystem::path& folder) {
  engine::transformer copy = s.model;
  how.portion = r.rows[r.chosen].portion;
  static_cast<void>(how(copy, r.spectra, r.means));
  std::map<std::string, std::string> files;
  for (const std::string_view name : engine::tokenizer_files)
    if (const std::filesystem::path file = original / name; std::filesystem::exists(file))
      files[std::string(name)] = std::string(engine::mapped_file(file).text());
  engine::save(copy.parameters(), folder, engine::dtype::f32, files);
}

}  // namespace program
