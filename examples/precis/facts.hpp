#pragma once

#include "task.hpp"

#include <engine/tokenizer/tokenizer.hpp>

#include <precis/score/causal/fact.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace program {

/// What to do with an answer of several tokens.
enum class answers {
  first_token,  ///< its first token is the answer
  whole,        ///< it must be one token; anything else is refused
};

/// Facts of a file, ready to be traced.
struct fact_file {
  std::vector<precis::score::fact> facts;
  std::vector<std::string> prompts;     ///< [facts]
  std::vector<std::string> subjects;    ///< [facts]
  std::vector<std::string> attributes;  ///< [facts] answers in words
  std::size_t longer_answers = 0;       ///< answers of several tokens, cut to their first
};

/// One prompt as a fact. The subject is where it first occurs; the answer is the token after the prompt, with a blank
/// before it. Errors: a subject that is not in the prompt; an answer of no token, or of several where one is asked for.
[[nodiscard]] precis::score::fact make_fact(const engine::tokenizer& tokens, std::string name, std::string_view prompt,
                                            std::string_view subject, std::string_view attribute, answers rule);

/// Reads a JSON array of {"prompt", "subject", "attribute"}, the format of the causal tracing paper's facts; other keys
/// are ignored. `most` limits how many are taken (0: all). Errors: named with the fact's number.
[[nodiscard]] fact_file load_facts(const engine::tokenizer& tokens, const std::filesystem::path& path, answers rule,
                                   std::size_t most = 0);

/// The facts' prompts and answers, over the whole vocabulary.
[[nodiscard]] questions ask(const fact_file& facts, std::string name);

}  // namespace program
