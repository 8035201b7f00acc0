#pragma once

#include <string_view>
#include <vector>

namespace engine {

/// Splits a text into the words of GPT-2's pre-tokenizer, whose concatenation is the text. Any bytes are allowed: a run
/// that is not valid UTF-8 is one word.
[[nodiscard]] std::vector<std::string_view> gpt2_words(std::string_view text);

}  // namespace engine
