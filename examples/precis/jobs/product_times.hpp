#pragma once

#include <precis/core/cost_table.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace program {

struct session;

/// How the products of a table are timed.
struct time_request {
  bool int8_activations = false;
  std::size_t threads = 1;  ///< 0: one per processor
};

/// The table with the time of every unit in every format on this machine, in nanoseconds per token, as `generate` would
/// multiply it. An embedding that is not the head takes no time: it is only looked up.
[[nodiscard]] precis::cost_table with_times(const session& s, precis::cost_table t, const time_request& how);

}  // namespace program
