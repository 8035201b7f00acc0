#pragma once

#include "task.hpp"

#include <engine/model/encoder.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/model/batch.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace program {

/// Texts and what somebody judged them to be.
struct verdict_file {
  std::string name;  ///< the file's name
  std::vector<std::string> texts;
  std::vector<std::size_t> labels;   ///< [texts] indices into `choices`
  std::vector<std::string> choices;  ///< in the order of their first occurrence

  /// Share of texts that have the most frequent label: what somebody reaches who reads none.
  [[nodiscard]] double most_frequent() const;
};

/// Reads JSON lines with `text` and `label`; other keys are ignored, and so are empty lines.
///
/// Errors   a line that is no such object, by number; an empty text or label; fewer than two labels in the file.
[[nodiscard]] verdict_file load_verdicts(const std::filesystem::path& path);

/// Verdicts as questions to a language model.
inline constexpr std::size_t default_verdict_tokens = 180;  ///< of a text's end

/// A prompt is the last `tokens` tokens of a text, and after them those of "\nVerdict:"; the answer is the first token of
/// " " + label. A document's first token (BOS), where the tokenizer has one, comes before.
///
/// Errors   a prompt longer than the model's context; labels that begin with the same token.
[[nodiscard]] questions ask(const engine::tokenizer& tokenizer, const verdict_file& verdicts, std::size_t tokens,
                            std::size_t context);

/// Verdicts as texts for a classifier, one a batch: [CLS], as many tokens from the text's beginning as fit, [SEP].
///
/// `labels` are the classifier's, by id. Upper and lower case are the same.
/// Errors   a label of the file that the classifier does not have.
[[nodiscard]] std::vector<engine::text_batch> classify(const engine::tokenizer& tokenizer, const verdict_file& verdicts,
                                                       std::span<const std::string> labels, std::size_t context);

}  // namespace program
