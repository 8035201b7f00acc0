#pragma once

#include <engine/tokenizer/tokenizer.hpp>

#include <precis/model/batch.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace program {

/// Prompts, and the text that should follow each.
struct task {
  std::string name;
  std::vector<std::string> prompts;
  std::vector<std::string> answers;  ///< exactly what follows the prompt, usually with a leading space: " 68"

  bool operator==(const task&) const = default;
};

/// All sums of two numbers from 0 to 99 and all products of two numbers from 0 to 19: "23 + 45 =" and " 68", "7 x 12 ="
/// and " 84".
///
/// Source   Vergara-Browne, Soto and Aizawa, "Eigenpruning", appendix: INT-SUM and INT-MULT.
[[nodiscard]] task integer_sums();
[[nodiscard]] task integer_products();

/// Reads JSON lines with `prompt` and `answer`; other keys and blank lines are ignored.
///
/// Errors   a line that is not such an object, with its number; an empty prompt or answer; a file without lines.
[[nodiscard]] task load_task(const std::filesystem::path& path);
/// The same from the contents of a file that would be at `path`.
[[nodiscard]] task parse_task(std::string_view text, const std::filesystem::path& path);
/// The inverse of load_task.
[[nodiscard]] std::string to_json_lines(const task& t);

/// Tokenized prompts, one per batch; the only target is the first token of the answer, at the last position.
struct questions {
  std::string name;
  std::vector<precis::token_batch> batches;
  std::vector<precis::token> among = {};  ///< the answers to choose from; empty: the whole vocabulary
  std::size_t longer_answers = 0;         ///< answers of several tokens, represented by their first

  /// Tokens per prompt; 0 if the prompts differ in length.
  [[nodiscard]] std::size_t fixed_length() const noexcept;
};
/// Errors   a prompt longer than the context, by number; prompts or answers without tokens.
[[nodiscard]] questions ask(const engine::tokenizer& tokenizer, const task& t, std::size_t context);

/// One prompt and its answer as a batch.
[[nodiscard]] precis::token_batch question(std::vector<precis::token> prompt, precis::token answer);

/// Several questions as one batch, padded on the right with `padding`. Padding positions have no target and do not
/// affect earlier positions.
[[nodiscard]] precis::token_batch side_by_side(const questions& all, std::span<const std::size_t> which,
                                               precis::token padding);
/// A token that occurs in no prompt, for padding. Requires ids below the vocabulary. Errors: prompts that use the whole
/// vocabulary.
[[nodiscard]] precis::token unused_token(const questions& all, std::size_t vocabulary);

/// Indices into a task for scoring, choosing and reporting, in a random order that the seed determines.
struct task_split {
  std::vector<std::size_t> train, validation, test;
};
/// 70 % to train on, 10 % to validate, the rest to test. Errors: fewer than ten prompts.
[[nodiscard]] task_split split(std::size_t prompts, std::uint64_t seed);

}  // namespace program
