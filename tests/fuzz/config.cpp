// Bytes are read as config.json or refused. A configuration that was read can be written and reads back equal, but for
// MXFP4, which is written as floats.

#include <engine/model/config_json.hpp>
#include <engine/model/knobs.hpp>

#include <precis/core/error.hpp>

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  engine::config c;
  try {
    c = engine::parse_config({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const precis::error&) {
    return 0;
  }
  const engine::config back = engine::parse_config(engine::config_json(c), "again");
  if (!(back == c) && !(c.knobs && c.knobs->mxfp4)) std::abort();
  if (!(engine::parse_config(engine::config_json(back), "once more") == back)) std::abort();
  return 0;
}
