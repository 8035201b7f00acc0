#pragma once

#include <engine/files/json.hpp>

#include <report/html.hpp>

#include <string>

namespace program {

struct comparison;

/// The second table of the CPTQuant paper: the cost of the three clusters of each score at each size, every byte
/// counted.
[[nodiscard]] report::table paper_table(const comparison& c);

/// Divergence from the original (less noisy than the loss) against bits per weight, one line per method.
[[nodiscard]] std::string comparison_picture(const comparison& c);
/// Divergence relative to the uniform plan's: rows are budgets, columns are methods.
[[nodiscard]] std::string comparison_map(const comparison& c);
[[nodiscard]] std::string comparison_csv(const comparison& c);
[[nodiscard]] std::string comparison_table(const comparison& c);
[[nodiscard]] engine::json to_json(const comparison& c);

/// The winner at each budget, its lead and a confidence statement; says so if uniform won.
[[nodiscard]] std::string comparison_verdict(const comparison& c);

}  // namespace program
