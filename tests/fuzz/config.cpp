// Any bytes are a config.json or are refused; what is read is written and read again as the same.

#include <engine/files/source.hpp>

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
