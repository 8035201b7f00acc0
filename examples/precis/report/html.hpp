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

/// Preformatted text in a fixed-width font: a command, a plan file.
struct listing {
  std::string text = {};
};

/// A picture from `draw` with a caption.
struct figure {
  std::string svg = {};  ///< inserted without escaping: must be a result of `draw`
  std::string caption = {};
};

/// Cells are text; columns whose non-empty cells all start as numbers are right-aligned with tabular digits.
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

/// A report: one self-contained file without scripts that follows the reader's light or dark theme and prints well.
struct page {
  std::string title = {};
  std::string subtitle = {};
  std::vector<section> sections = {};
};

/// HTML that is also well-formed XML. Errors: a table with rows whose length differs from the header's.
[[nodiscard]] std::string draw(const page& p);

}  // namespace report
