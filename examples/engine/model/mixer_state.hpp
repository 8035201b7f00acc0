#pragma once

#include <vector>

namespace engine {

/// What a recurrent mixer remembers of a sequence; empty at its start.
struct mixer_state {
  std::vector<float> tail;    ///< [taps - 1 x channels], the last inputs of the convolution
  std::vector<float> memory;  ///< of the recurrence; always empty for a short convolution
  bool operator==(const mixer_state&) const = default;
};

}  // namespace engine
