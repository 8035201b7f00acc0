#pragma once

#include <report/scale.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace report {

/// One grid of a figure, for instance the effect of restoring attention outputs.
struct panel {
  std::string title = {};           ///< "attention, window 10"
  std::vector<double> values = {};  ///< [rows x layers], row-major; a value that is not finite is drawn hatched
};

struct token_row {
  std::string text = {};  ///< from the tokenizer; a leading space is made visible
  bool subject = false;   ///< bold and marked with *
};

/// Causal tracing of one fact: the probability of the answer after restoring one state at (token, layer).
struct trace_map {
  std::string prompt = {};
  std::string answer = {};
  std::vector<token_row> tokens = {};  ///< rows, from the first token down
  std::size_t layers = 0;              ///< columns
  std::vector<panel> panels = {};      ///< one per kind of site; all share one colour scale
  double p_low = 0;                    ///< probability of the answer with noise on the subject and nothing restored
  double p_clean = 0;                  ///< probability of the answer in the clean run
};

/// Average indirect effect by the role of a token: zero is neutral, blue is negative, red is positive.
struct role_map {
  std::string title = {};
  std::string subtitle = {};
  std::vector<std::string> roles = {};  ///< rows
  std::size_t layers = 0;               ///< columns
  std::vector<panel> panels = {};       ///< NaN marks a role that no prompt has
  std::string measure = "average indirect effect";
};

/// Each draws one SVG picture.
/// Errors    pictures without rows or columns; panels with the wrong number of values.
[[nodiscard]] std::string draw(const trace_map& map);
[[nodiscard]] std::string draw(const role_map& map);

}  // namespace report
