#pragma once

#include <precis/core/random.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Random changes of text files, for tests of the readers.
namespace test {

/// Draws one after the other.
struct dice {
  precis::random_stream stream;
  std::uint64_t next = 0;
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(stream.below(next++, n)); }
};

[[nodiscard]] inline std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}
[[nodiscard]] inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

/// The text after one random change of a line, a word or a byte.
[[nodiscard]] inline std::string mutated(const std::string& text, dice& d) {
  static constexpr std::string_view words[] = {"",
                                               "0",
                                               "-0",
                                               "-1",
                                               "1",
                                               "nan",
                                               "inf",
                                               "-",
                                               "1e308",
                                               "1e-320",
                                               "1e999",
                                               "0x1",
                                               "1,5",
                                               "18446744073709551615",
                                               "18446744073709551616",
                                               "9007199254740993",
                                               "model",
                                               "units",
                                               "note",
                                               "block",
                                               "half",
                                               "#",
                                               "=",
                                               "sparsity=0.5",
                                               "rank=2",
                                               "\xEF\xBB\xBF",
                                               "\xFF",
                                               "\x1B[31m",
                                               "caf\xC3\xA9",
                                               "\t",
                                               "\r"};
  std::vector<std::string> lines = lines_of(text);
  if (lines.empty()) return std::string(words[d.below(std::size(words))]);
  const std::size_t at = d.below(lines.size()), other = d.below(lines.size());
  const auto here = lines.begin() + static_cast<std::ptrdiff_t>(at);
  switch (d.below(8)) {
    case 0: lines.insert(here, lines[other]); break;
    case 1: lines.erase(here); break;
    case 2: std::swap(lines[at], lines[other]); break;
    case 3: {  // a byte
      std::string all = text;
      all[d.below(all.size())] = static_cast<char>(d.below(256));
      return all;
    }
    case 4: return text.substr(0, d.below(text.size()));
    default: {  // a word
      std::string& line = lines[at];
      const std::size_t begin = line.empty() ? 0 : line.rfind(' ', d.below(line.size())) + 1;
      const std::size_t end = std::min(line.find(' ', begin), line.size());
      line.replace(begin, d.below(4) == 0 ? 0 : end - begin,
                   std::string(words[d.below(std::size(words))]) + (d.below(4) == 0 ? " " : ""));
    }
  }
  return joined(lines);
}

}  // namespace test
