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

/// Prompts whose answer is the token that follows.
struct task {
  std::string name;
  std::vector<std::string> prompts;
  std::vector<std::string> answers;  ///< exactly what follows the prompt, so mostly with a blank before: " 68"

  bool operator==(const task&) const = default;
};

/// Sums of 0 to 99 and products of 0 to 19, all pairs: "23 + 45 =" and " 68", "7 x 12 =" and " 84".
///
/// Source   Vergara-Browne, Soto and Aizawa, "Eigenpruning", appendix: INT-SUM and INT-MULT.
[[nodiscard]] task integer_sums();
[[nodiscard]] task integer_products();

/// Reads JSON lines with `prompt` and `answer`; other keys are ignored, and so are empty lines.
///
/// Errors   a line that is no such object, by number; an empty prompt or answer; no lines.
[[nodiscard]] task load_task(const std::filesystem::path& path);
/// What load_task reads.
[[nodiscard]] std::string to_json_lines(const task& t);

/// What a model is asked: prompts, one a batch, whose only target is the answer's first token, at the last position.
struct questions {
  std::string name;
  std::vector<precis::token_batch> batches;
  std::vector<precis::token> among = {};  ///< the answers to choose from; empty: the whole vocabulary
  std::size_t longer_answers = 0;         ///< answers of several tokens, of which the first has to do

  /// Tokens of every prompt; 0 where they differ.
  [[nodiscard]] std::size_t fixed_length() const noexcept;
};
/// Errors   a prompt longer than the context, by number; prompts or answers without tokens.
[[nodiscard]] questions ask(const engine::tokenizer& tokenizer, const task& t, std::size_t context);

/// One prompt and its answer as a batch.
[[nodiscard]] precis::token_batch question(std::vector<precis::token> prompt, precis::token answer);

/// Some questions as one batch, shorter prompts filled up on their right with `padding`; what stands there is never asked
/// for, and changes nothing before it.
[[nodiscard]] precis::token_batch side_by_side(const questions& all, std::span<const std::size_t> which,
                                               precis::token padding);
/// A token that no prompt has, for padding. Requires ids below the vocabulary. Errors: prompts that use the whole vocabulary.
[[nodiscard]] precis::token unused_token(const questions& all, std::size_t vocabulary);

/// Who is scored on, who chooses, and who reports: indices into a task, in a random order that the seed decides.
struct task_split {
  std::vector<std::size_t> train, validation, test;
};
/// 80 % to train and choose, of which an eighth chooses; 20 % to report. Errors: fewer than ten prompts.
[[nodiscard]] task_split split(std::size_t prompts, std::uint64_t seed);

}  // namespace program
