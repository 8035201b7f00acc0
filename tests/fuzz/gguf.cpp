// Bytes are read as a GGUF model with its tokenizer, as an importance matrix and as a part of a split model, or refused. Every tensor lies within the file, and a model that was
// read is complete.

#include <engine/files/imatrix.hpp>
#include <engine/model_files/gguf_model.hpp>
#include <engine/model_files/gguf_parts.hpp>
#include <engine/model_files/load.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>

#include <precis/codec/blocks/block_matrix.hpp>
#include <precis/codec/ggml.hpp>
#include <precis/core/error.hpp>
#include <precis/core/menu.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

namespace {
using namespace precis::codec;
const engine::matrix_decoder decoder = engine::decoder_of<
    precis::menu<q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs, iq3_s, iq3_xxs, iq2_s,
                 iq2_xs, iq2_xxs, iq1_s, iq1_m, mxfp4, nvfp4, tq1_0, tq2_0, q1_0, q2_0>>();
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    for (const engine::gguf_tensor& t : engine::parse_gguf(file, "fuzz").tensors) {
      if (t.first_byte > size || t.bytes > size - t.first_byte) std::abort();
      if (t.shape.size() != 2 || t.format.starts_with("float") || t.format.starts_with("bfloat")) continue;
      std::vector<float> values(t.shape[0] * t.shape[1]);  // any bytes are some weights
      decoder.decode(t.format, file.subspan(t.first_byte, t.bytes),
                     {values.data(), t.shape[0], t.shape[1], static_cast<std::ptrdiff_t>(t.shape[1]), 1});
    }
  } catch (const precis::error&) {}
  try {
    const engine::gguf_model m = engine::parse_gguf_model(file, "fuzz");
    if (m.tensors.size() != engine::expected_tensors(m.config).size()) std::abort();
    for (const engine::source_tensor& t : m.tensors) {
      std::vector<float> values(t.elements());
      engine::decode(t, decoder, values);
    }
  } catch (const precis::error&) {}
  try {  // as an importance matrix, of either form
    const engine::imatrix m = engine::parse_imatrix(file, "fuzz");
    for (const auto& [name, t] : m.tensors)
      if (t.means().size() != t.sums.size() || t.in() * t.counts.size() != t.sums.size()) std::abort();
  } catch (const precis::error&) {}
  try {  // as all parts of a split model
    const engine::gguf_part parts[2] = {{file, "first"}, {file, "second"}};
    for (const engine::gguf_tensor& t : engine::parse_gguf_parts(parts).tensors)
      if (t.part > 1 || t.first_byte > size || t.bytes > size - t.first_byte) std::abort();
  } catch (const precis::error&) {}
  try {
    const engine::tokenizer t = engine::parse_gguf_tokenizer(file, "fuzz");
    if (t.decode(t.encode("a b", engine::start::middle)) != "a b") std::abort();
  } catch (const precis::error&) {}
  return 0;
}
