#pragma once

#include <precis/evaluate/accuracy.hpp>
#include <precis/model/batch.hpp>

#include <span>
#include <string>

namespace engine {
class encoder;
class transformer;
struct text_batch;
}  // namespace engine

namespace program {

class checkpoint;
struct questions;
struct run_options;
struct session;
struct text_windows;

/// The accuracy of a model on verdicts.
struct verdict_result {
  precis::evaluate::accuracy_report report;
  bool stopped = false;  ///< by Ctrl-C: some verdicts are missing
};
/// Verdicts already in the checkpoint are not run again; the others are added to it.
[[nodiscard]] verdict_result verdict_accuracy(const engine::transformer& model, const questions& q,
                                              const run_options& o, const std::string& label, checkpoint* saved);
[[nodiscard]] verdict_result verdict_accuracy(const engine::encoder& model, std::span<const engine::text_batch> batches,
                                              const run_options& o, const std::string& label, checkpoint* saved);

/// The share of questions whose answer is the most likely next token.
[[nodiscard]] precis::evaluate::accuracy_report answered(const session& s, const questions& q, const run_options& o);

}  // namespace program
