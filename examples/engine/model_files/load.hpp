#pragma once

#include <engine/model/weights.hpp>
#include <engine/model_files/source.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/menu.hpp>
#include <precis/core/view.hpp>
#include <precis/model/batch.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Loads a model from a path in one call: `engine::load`.
namespace engine {

/// Decodes packed bytes to weights. The engine contains no codecs; the caller of `load` provides them.
struct matrix_decoder {
  /// Exact packed size. Errors: an unknown codec.
  std::function<std::size_t(std::string_view codec, std::size_t out, std::size_t in)> bytes;
  /// Called with the number of bytes that `bytes` returns. The view may have any strides.
  std::function<void(std::string_view codec, std::span<const std::byte> packed, precis::mutable_weight_view weights)>
      decode;
};

/// A decoder for the codecs of a menu: `engine::decoder_of<precis::menu<...>>()`.
template<class Menu>
[[nodiscard]] matrix_decoder decoder_of() {
  return {.bytes = [](std::string_view codec, std::size_t out,
                      std::size_t in) { return Menu::bytes(Menu::index_of(codec), out, in); },
          .decode = [](std::string_view codec, std::span<const std::byte> packed,
                       precis::mutable_weight_view weights) { Menu::decode(Menu::index_of(codec), packed, weights); }};
}

struct load_options {
  std::filesystem::path tokenizer;  ///< a folder with a tokenizer's files, or a tok*.bin; empty: the model's own
  matrix_decoder decoder;           ///< needed only for packed tensors
};

/// The stored form of one tensor.
struct stored_tensor {
  std::string name;                ///< the engine's: "h.0.attn.c_attn.weight"
  std::string stored_name;         ///< the file's: "transformer.h.0.attn.c_attn.weight"
  std::string format;              ///< "F16", or the codec's name
  std::vector<std::size_t> shape;  ///< as stored: GPT-2's maps are {in, out}
  std::size_t bytes = 0;
  bool packed = false;  ///< `format` is a codec

  [[nodiscard]] std::size_t weights() const noexcept {
    std::size_t n = 1;
    for (const std::size_t e : shape) n *= e;
    return n;
  }
};

/// A loaded model and its provenance.
struct bundle {
  engine::weights weights;
  engine::tokenizer tokenizer;  ///< false if none was found
  std::filesystem::path path;
  model_format format = model_format::hugging_face;
  std::vector<stored_tensor> stored;  ///< in the order of engine::tensors()
  std::string fingerprint;            ///< of the weights as loaded; see engine::fingerprint
  std::string made_from;              ///< fingerprint of the original of a compressed folder; empty if unknown
  std::optional<precis::token> bos;
  std::vector<precis::token> eos;     ///< as in model_source
  std::vector<std::string> warnings;  ///< as in model_source
  std::vector<std::string> labels;    ///< names of a BERT's labels, by id

  [[nodiscard]] const engine::config& config() const noexcept { return weights.config; }
  [[nodiscard]] bool is_gpt2() const noexcept { return config().architecture == architecture::gpt2; }
  [[nodiscard]] bool is_llama() const noexcept { return config().architecture == architecture::llama; }
  /// The stored form of the tensor `name` or of the matrix `name` (without ".weight"); nullptr if there is none.
  [[nodiscard]] const stored_tensor* find(std::string_view name) const noexcept;
  /// Total bytes of all tensors, without headers.
  [[nodiscard]] std::size_t stored_bytes() const noexcept;
};

/// Loads a Hugging Face folder, a llama2.c .bin, a GGUF file or a folder that `write_compressed` wrote.
///
/// Errors   those of open_source; weights that are not finite, by tensor and index; packed tensors without a decoder,
///          or with a codec or size that the decoder does not know; a tokenizer with more tokens than the model.
[[nodiscard]] bundle load(const std::filesystem::path& path, const load_options& options = {});

/// The tokenizer at `instead`; if that is empty, the model's own, if it has one.
/// Errors: a tokenizer with more tokens than the model.
[[nodiscard]] tokenizer tokenizer_of(const model_source& source, const std::filesystem::path& instead = {});

/// 16 hexadecimal digits that depend only on the family and on the names, shapes and values of all weights, not on how
/// they are stored. A plan identifies its model by it.
[[nodiscard]] std::string fingerprint(const weights& w);
/// The same for a model in its files, decoding one tensor at a time. Errors: those of `decode`.
[[nodiscard]] std::string fingerprint(const model_source& source, const matrix_decoder& decoder);

/// Decodes one tensor into `values`, one value per weight, in the layout of engine::tensors().
///
/// Errors   a value that is not finite, by tensor and index; a codec that the decoder refuses.
void decode(const source_tensor& tensor, const matrix_decoder& decoder, std::span<float> values);

/// Refuses a packed tensor if there is no decoder or the decoder does not know its codec or size.
void check_stored(const source_tensor& tensor, const matrix_decoder& decoder);

/// Writes a model folder atomically: config.json, model.safetensors with the family's names, and `files` (name ->
/// content), such as a tokenizer's. Hugging Face's transformers can load every family except Llama from it.
///
/// Errors   a weight too large for the type; biases that the files cannot store; a target that exists and may not be
///          replaced.
void save(const weights& w, const std::filesystem::path& folder, dtype type = dtype::f32,
          const std::map<std::string, std::string>& files = {},
          atomic_folder::existing rule = atomic_folder::existing::refuse);

}  // namespace engine
