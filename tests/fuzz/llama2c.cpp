// Bytes are read as a llama2.c file or refused. Every tensor lies within the file.

#include <engine/model_files/source.hpp>

#include <precis/core/error.hpp>

#include <cstdint>
#include <cstdlib>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    for (const engine::source_tensor& t : engine::parse_llama2c(file, "fuzz").tensors) {
      std::size_t values = 1;
      for (const std::size_t e : t.shape) values *= e;
      if (t.bytes.data() < file.data() || t.bytes.data() + t.bytes.size() > file.data() + size ||
          t.bytes.size() != 4 * values)
        std::abort();
    }
  } catch (const precis::error&) {}
  return 0;
}
