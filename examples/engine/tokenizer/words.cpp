#include <engine/tokenizer/words.hpp>

#include <engine/tokenizer/pattern.hpp>

#include <cstddef>

namespace engine {

std::vector<std::string_view> gpt2_words(std::string_view text) {
  std::vector<std::string_view> words;
  gpt2_pattern().find_all(
      text, [&](std::size_t begin, std::size_t end, bool) { words.push_back(text.substr(begin, end - begin)); });
  return words;
}

}  // namespace engine
