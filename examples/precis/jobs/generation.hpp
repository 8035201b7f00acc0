#pragma once

#include "jobs/session.hpp"

#include <precis/model/batch.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace program {

/// Continuing a text with a model in its stored formats.
struct generation_request {
  model_options model;
  std::string prompt;
  std::size_t tokens = 64;  ///< at most
  double temperature = 0;   ///< 0: the most likely token
  std::uint64_t seed = 1;
  bool int8_activations = false;  ///< quantize activations that multiply packed weights
  std::size_t threads = 0;        ///< 0: one per processor
};

struct generation_result {
  std::vector<precis::token> ids;  ///< prompt and continuation
  std::size_t prompt_tokens = 0, tokens = 0;
  double prompt_seconds = 0, seconds = 0;
  std::string stopped_by = {};  ///< "tokens", "context", "end of text" or "interrupt"
  std::size_t weight_bytes = 0, weights = 0;
};

/// Calls show(text) for the prompt and then for every token as it is generated.
/// Errors   a temperature that is negative or not finite; an empty prompt, or one that fills the context; those of
///          engine::open_source and engine::load_packed.
[[nodiscard]] generation_result generate(const generation_request& r,
                                         const std::function<void(std::string_view)>& show);

}  // namespace program
