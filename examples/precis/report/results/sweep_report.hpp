#pragma once

#include <engine/files/json.hpp>

#include <string>

namespace program {

struct tier_grid_result;

/// A heatmap of perplexities: rows are settings, columns are scorers.
[[nodiscard]] std::string sweep_picture(const tier_grid_result& r, const std::string& model);
/// Perplexity against bits per weight, one line per scorer.
[[nodiscard]] std::string size_picture(const tier_grid_result& r, const std::string& model);
[[nodiscard]] std::string sweep_csv(const tier_grid_result& r);
/// The same as a text table.
[[nodiscard]] std::string sweep_table(const tier_grid_result& r);
[[nodiscard]] engine::json to_json(const tier_grid_result& r);

/// A few sentences: the best scorer, its lead with a confidence statement, and the constant tiers beside it.
[[nodiscard]] std::string sweep_verdict(const tier_grid_result& r);

}  // namespace program
