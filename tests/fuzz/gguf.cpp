// Bytes are read as a GGUF model with its tokenizer or refused. Every tensor lies within the file, and a model that was
// read is complete.

#include <engine/model_files/gguf_model.hpp>
#include <engine/model_files/load.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>

#include <precis/codec/ggml.hpp>
#include <precis/core/error.hpp>
#include <precis/core/menu.hpp>

#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

namespace {
using namespace precis::codec;
const engine::matrix_decoder decoder = engine::decoder_of<precis::menu<q4_0, q4_1, q5_0, q5_1, q8_0>>();
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    for (const engine::gguf_tensor& t : engine::parse_gguf(file, "fuzz").tensors)
      if (t.first_byte > size || t.bytes > size - t.first_byte) std::abort();
  } catch (const precis::error&) {}
  try {
    const engine::gguf_model m = engine::parse_gguf_model(file, "fuzz");
    if (m.tensors.size() != engine::expected_tensors(m.config).size()) std::abort();
    for (const engine::source_tensor& t : m.tensors) {
      std::vector<float> values(t.elements());
      engine::decode(t, decoder, values);
    }
  } catch (const precis::error&) {}
  try {
    const engine::tokenizer t = engine::parse_gguf_tokenizer(file, "fuzz");
    if (t.decode(t.encode("a b", engine::start::middle)) != "a b") std::abort();
  } catch (const precis::error&) {}
  return 0;
}
