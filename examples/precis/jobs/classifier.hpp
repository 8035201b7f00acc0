#pragma once

#include "jobs/session.hpp"

#include <engine/model/encoder.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace program {

struct verdict_file;

/// An open classifier.
struct classifier {
  std::string name;
  engine::tokenizer tokens;
  engine::encoder model;
  std::vector<std::string> labels;  ///< by id
  std::string fingerprint;
  std::size_t stored_bytes = 0;  ///< of all matrices()
};
/// Errors: those of engine::load and engine::encoder.
[[nodiscard]] classifier open_classifier(const model_options& o);
[[nodiscard]] std::string describe(const classifier& c);
[[nodiscard]] std::size_t weight_count(const classifier& c);

/// Verdicts as batches of one text each for a classifier: [CLS], as many tokens from the beginning of the text as fit,
/// [SEP].
///
/// `labels` are the classifier's, by id; they are matched to the file's without regard to case.
/// Errors   a label of the file that the classifier does not have.
[[nodiscard]] std::vector<engine::text_batch> classify(const engine::tokenizer& tokenizer, const verdict_file& verdicts,
                                                       std::span<const std::string> labels, std::size_t context);

}  // namespace program
