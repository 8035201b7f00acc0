#pragma once

#include <string_view>
#include <vector>

namespace engine {

/// Cuts a text into the words of GPT-2's pre-tokenizer; together they are the text. Any bytes are allowed: a run that is
/// not UTF-8 is a word of its own.
[[nodiscard]] std::vector<std::string_view> gpt2_words(std::string_view text);

}  // namespace engine
