#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace report {

struct paragraph {
  std::string text = {};
};

/// Text kept as it is, in a fixed-width font: a command, a plan file.
struct listing {
  std::string text = {};
};

/// A picture from `draw`, with the sentence below it.
struct figure {
  std::string svg = {};  ///< goes into the page as it is: only ever a result of `draw`
  std::string caption = {};
};

/// Cells are text; a column in which every filled cell starts as a number is set right with even digits.
struct table {
  std::string caption = {};
  std::vector<std::string> header = {};
  std::vector<std::vector<std::string>> rows = {};  ///< each as long as the header
};

using content = std::variant<paragraph, listing, figure, table>;

struct section {
  std::string heading = {};
  std::vector<content> parts = {};
};

/// A report: one file without scripts or anything from elsewhere; follows the reader's light or dark theme and prints.
struct page {
  std::string title = {};
  std::string subtitle = {};
  std::vector<section> sections = {};
};

/// HTML that is also well-formed XML. Errors: refuses a table whose rows are not as long as its header.
[[nodiscard]] std::string draw(const page& p);

}  // namespace report
