// Bytes are read as config.json or refused. A configuration that was read can be written and reads back equal.

#include <engine/model/config_json.hpp>

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
  if (!(engine::parse_config(engine::config_json(c), "again") == c)) std::abort();
  return 0;
}
