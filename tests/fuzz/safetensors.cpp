// Bytes are read as a safetensors file or refused. Every tensor lies within the file.

#include <engine/files/safetensors.hpp>

#include <precis/core/error.hpp>

#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    for (const engine::tensor_entry& t : engine::parse_safetensors(file, "fuzz").tensors) {
      if (t.first_byte > size || t.bytes > size - t.first_byte) std::abort();
      if (!engine::is_weight(t.type)) continue;
      std::vector<float> values(t.bytes / engine::size_of(t.type));
      engine::decode(t.type, file.subspan(t.first_byte, t.bytes), values);
    }
  } catch (const precis::error&) {}
  return 0;
}
