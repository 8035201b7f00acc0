#pragma once

#include <precis/core/plan.hpp>

#include <string>
#include <vector>

namespace program {

struct session;

/// The names of llama-quantize's presets: "Q4_0", ..., "Q4_K_M", ...
[[nodiscard]] std::vector<std::string> preset_names();

/// The plan that llama-quantize makes with a preset: a type for every matrix of the model. `importance`: as with an
/// importance matrix.
///
/// A session with tables gives the embedding and the head types, too. `preset` is in any case of letters.
///
/// Errors    an unknown preset; a preset that needs importance; a family without names in GGUF; rows that no
///           type of the preset fits.
[[nodiscard]] precis::plan preset_plan(const session& s, const std::string& preset, bool importance);

}  // namespace program
