#pragma once

#include <string>
#include <string_view>

namespace precis {
struct scores;
namespace score {
struct fact;
struct fact_trace;
}  // namespace score
}  // namespace precis

namespace program {

struct score_result;
struct session;

/// The bar chart of a score table, coloured by tier.
[[nodiscard]] std::string tier_picture(const precis::scores& table);
/// The same, coloured by the three clusters of exact k-means, as CPTQuant groups layers.
[[nodiscard]] std::string cluster_picture(const precis::scores& table);
/// Average effects by token role. Requires the roles of a causal trace.
[[nodiscard]] std::string role_picture(const score_result& s);
/// The tokens x layers heatmaps of one fact, labelled with its tokens.
[[nodiscard]] std::string trace_picture(const session& s, const precis::score::fact& f,
                                        const precis::score::fact_trace& t, std::string_view prompt,
                                        std::string_view answer);
/// One line per unit: score, z, tier.
[[nodiscard]] std::string tier_table(const precis::scores& table);

}  // namespace program
