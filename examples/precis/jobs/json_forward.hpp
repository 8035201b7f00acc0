#pragma once

#include <nlohmann/json_fwd.hpp>

/// Declares engine::json without the library behind it; <engine/files/json.hpp> defines it.
namespace engine {

using json = nlohmann::json;

}  // namespace engine
