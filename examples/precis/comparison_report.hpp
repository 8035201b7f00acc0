#pragma once

#include "comparing.hpp"

#include <report/html.hpp>

#include <string>

namespace program {

/// The paper's second table: what the three clusters of each score cost at each ratio, every byte counted.
[[nodiscard]] report::table paper_table(const comparison& c);

/// Divergence from the original (less noisy than the loss) against bits per weight, one line a method.
[[nodiscard]] std::string comparison_picture(const comparison& c);
/// Divergence as a share of uniform's: rows are budgets, columns methods.
[[nodiscard]] std::string comparison_map(const comparison& c);
[[nodiscard]] std::string comparison_csv(const comparison& c);
[[nodiscard]] std::string comparison_table(const comparison& c);
[[nodiscard]] engine::json to_json(const comparison& c);

/// Who won at each budget, by how much and how sure that is; says so when it was uniform.
[[nodiscard]] std::string comparison_verdict(const comparison& c);

}  // namespace program
