#pragma once

#include "jobs/task.hpp"

#include <engine/tokenizer/tokenizer.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace program {

/// Labelled texts, called verdicts after the prompt, which ends in "Verdict:".
struct verdict_file {
  std::string name;  ///< the file's name
  std::vector<std::string> texts;
  std::vector<std::size_t> labels;   ///< [texts] indices into `choices`
  std::vector<std::string> choices;  ///< in order of first occurrence

  /// The majority-class baseline: the share of texts with the most frequent label.
  [[nodiscard]] double most_frequent() const;
};

/// Reads JSON lines with `text` and `label`; other keys and blank lines are ignored.
///
/// Errors   a line that is not such an object, with its number; an empty text or label; fewer than two labels in the
///          file.
[[nodiscard]] verdict_file load_verdicts(const std::filesystem::path& path);
/// The same from the contents of a file that would be at `path`.
[[nodiscard]] verdict_file parse_verdicts(std::string_view text, const std::filesystem::path& path);

inline constexpr std::size_t default_verdict_tokens = 180;  ///< from the end of a text, if the context holds them

/// Verdicts as questions to a language model: a prompt is the last `tokens` tokens of a text (the default, if none)
/// followed by those of "\nVerdict:"; the answer is the first token of " " + label. The
/// beginning-of-document token (BOS), if the tokenizer has one, comes first.
///
/// Errors   a prompt longer than the model's context; labels that begin with the same token.
[[nodiscard]] questions ask(const engine::tokenizer& tokenizer, const verdict_file& verdicts,
                            std::optional<std::size_t> tokens, std::size_t context);

/// The option --verdict-tokens.
struct verdict_prompt {
  std::size_t tokens = default_verdict_tokens;
  bool given = false;  ///< a default gives way to a short context

  [[nodiscard]] std::optional<std::size_t> wanted() const noexcept {
    return given ? std::optional(tokens) : std::nullopt;
  }
};

}  // namespace program
