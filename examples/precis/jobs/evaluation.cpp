#include "jobs/evaluation.hpp"

#include "jobs/checkpoint.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"
#include "jobs/task.hpp"
#include "jobs/text_windows.hpp"

#include <engine/files/json.hpp>
#include <engine/model/encoder.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <vector>

namespace program {

namespace {

template<class Model>
[[nodiscard]] verdict_result accuracy_of(const Model& model, std::span<const precis::batch_of<Model>> batches,
                                         const precis::evaluate::accuracy& measure, const run_options& o,
                                         const std::string& label, checkpoint* saved) {
  verdict_result out;
  std::vector<std::optional<bool>> right(batches.size());
  const auto key = [](std::size_t i) { return "verdict." + std::to_string(i); };
  for (std::size_t i = 0; saved != nullptr && i < right.size(); ++i)
    if (const engine::json* before = saved->find(key(i))) right[i] = before->at("right").get<bool>();
  const auto is_open = [&](std::size_t i) { return !right[i] && (saved == nullptr || !saved->elsewhere(i)); };
  {
    progress bar(label, batches.size(), o.how());
    out.stopped = !o.pool().for_each_until_stopped(batches.size(), [&](std::size_t i) {
      if (is_open(i)) {
        right[i] = measure(model, batches.subspan(i, 1)).correct == 1;
        if (saved != nullptr) saved->record(key(i), {{"right", *right[i]}});
      }
      bar.step();
    });
  }
  for (const std::optional<bool>& r : right) {
    out.report.correct += r.value_or(false) ? 1u : 0u;
    out.report.count += r ? 1u : 0u;
  }
  if (out.stopped && out.report.count == 0) throw stopped{};
  return out;
}

}  // namespace

verdict_result verdict_accuracy(const engine::transformer& model, const questions& q, const run_options& o,
                                const std::string& label, checkpoint* saved) {
  return accuracy_of(model, q.batches, precis::evaluate::accuracy{.among = q.among}, o, label, saved);
}
verdict_result verdict_accuracy(const engine::encoder& model, std::span<const engine::text_batch> batches,
                                const run_options& o, const std::string& label, checkpoint* saved) {
  return accuracy_of(model, batches, precis::evaluate::accuracy{}, o, label, saved);
}

precis::evaluate::accuracy_report answered(const session& s, const questions& q, const run_options& o) {
  return precis::evaluate::accuracy{}(s.model, q.batches, o.pool());
}

}  // namespace program
