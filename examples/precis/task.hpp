#pragma once

#include <engine/tokenizer.hpp>

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

/// A task as a tokenizer sees it.
struct tokenized_task {
  std::vector<std::vector<precis::token>> prompts;
  std::vector<precis::token> answers;  ///< the first token of each
  std::size_t longer_answers = 0;      ///< how many have more than that one
  std::size_t tokens = 0;              ///< of every prompt; 0 where they differ

  /// One batch a prompt, its only target the answer at the last position.
  [[nodiscard]] precis::token_batch batch(std::size_t i) const;
};
/// Errors   a prompt longer than the context, by number.
[[nodiscard]] tokenized_task tokenize(const task& t, const engine::tokenizer& tokenizer, std::size_t context);

/// Who is scored on, who chooses, and who reports: indices into a task, in a random order that the seed decides.
struct task_split {
  std::vector<std::size_t> train, validation, test;
};
/// 80 % to train and choose, of which an eighth chooses; 20 % to report. Errors: fewer than ten prompts.
[[nodiscard]] task_split split(std::size_t prompts, std::uint64_t seed);

}  // namespace program
