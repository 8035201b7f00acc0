#pragma once

#include "jobs/task.hpp"

#include <engine/tokenizer/tokenizer.hpp>

#include <precis/score/causal/fact.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace program {

/// How to treat an answer of several tokens.
enum class answers {
  first_token,  ///< take its first token
  whole,        ///< refuse it
};

/// The facts of a file, ready to be traced.
struct fact_file {
  std::vector<precis::score::fact> facts;
  std::vector<std::string> prompts;     ///< [facts]
  std::vector<std::string> subjects;    ///< [facts]
  std::vector<std::string> attributes;  ///< [facts] answers as text
  std::size_t longer_answers = 0;       ///< answers of several tokens, cut to their first
};

/// One prompt as a fact. The subject is its first occurrence in the prompt; the answer is the token after the prompt,
/// written with a space before it. `shorten` is the option that takes the first token of longer answers, for messages; "": none.
/// Errors: a subject that is not in the prompt; an empty answer; an answer of several tokens under answers::whole.
[[nodiscard]] precis::score::fact make_fact(const engine::tokenizer& tokens, std::string name, std::string_view prompt,
                                            std::string_view subject, std::string_view attribute, answers rule,
                                            std::string_view shorten = "--answers first");

/// Reads a JSON array of {"prompt", "subject", "attribute"}, the format of known_1000.json of Meng et al. 2022; other
/// keys are ignored. `most` limits how many are read (0: all). Errors, with the fact's number: those of make_fact; a
/// prompt of more than `context` tokens.
[[nodiscard]] fact_file load_facts(const engine::tokenizer& tokens, std::size_t context,
                                   const std::filesystem::path& path, answers rule, std::size_t most = 0,
                                   std::string_view shorten = "--answers first");
/// The same from the contents of a file called `name`.
[[nodiscard]] fact_file parse_facts(const engine::tokenizer& tokens, std::size_t context, std::string_view text,
                                    const std::string& name, answers rule, std::size_t most = 0,
                                    std::string_view shorten = "--answers first");

/// The prompts and answers of facts, over the whole vocabulary.
[[nodiscard]] questions ask(const fact_file& facts, std::string name);

}  // namespace program
