#pragma once

#include <engine/files/source.hpp>
#include <engine/model/weights.hpp>
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

/// One call from a path to a model: `engine::load`.
namespace engine {

/// Turns packed bytes back into weights. The engine knows no codecs; whoever calls `load` brings them.
struct matrix_decoder {
  /// Exact packed size. Refuses a codec it does not know.
  std::function<std::size_t(std::string_view codec, std::size_t out, std::size_t in)> bytes;
  /// Called with as many bytes as `bytes` says. The view may have any strides.
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
  std::filesystem::path
      tokenizer;           ///< a folder with a tokenizer's files, or a tok*.bin; empty: what lies beside the model
  matrix_decoder decoder;  ///< needed for compressed folders alone
};

/// How one tensor was stored.
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

/// A loaded model and what is known of where it came from.
struct bundle {
  engine::weights weights;
  engine::tokenizer tokenizer;  ///< false when none was found
  std::filesystem::path path;
  model_format format = model_format::hugging_face;
  std::vector<stored_tensor> stored;  ///< in the order of engine::tensors()
  std::string fingerprint;            ///< of the weights as loaded; see engine::fingerprint
  std::string made_from;              ///< compressed folders: fingerprint of the original, if known; else empty
  std::optional<precis::token> bos, eos;
  std::vector<std::string> labels;  ///< of a BERT: their names, by id

  [[nodiscard]] const engine::config& config() const noexcept { return weights.config; }
  [[nodiscard]] bool is_gpt2() const noexcept { return config().architecture == architecture::gpt2; }
  [[nodiscard]] bool is_llama() const noexcept { return config().architecture == architecture::llama; }
  /// How the tensor called `name`, or the matrix `name` (without ".weight"), was stored; nullptr when there is none.
  [[nodiscard]] const stored_tensor* find(std::string_view name) const noexcept;
  /// Bytes of all tensors together, headers not counted.
  [[nodiscard]] std::size_t stored_bytes() const noexcept;
};

/// Loads a Hugging Face folder, a llama2.c .bin or a folder that `write_compressed` wrote.
///
/// Errors   those of open_source; weights that are not finite, by tensor and index; a compressed folder without a decoder
///          or with a codec or size it does not know; a tokenizer with more tokens than the model.
[[nodiscard]] bundle load(const std::filesystem::path& path, const load_options& options = {});

/// The tokenizer at `instead`, or where that is empty the one that came with a model, which may be none.
/// Errors: a tokenizer with more tokens than the model.
[[nodiscard]] tokenizer tokenizer_of(const model_source& source, const std::filesystem::path& instead = {});

/// 16 hexadecimal digits that depend on the family, the names, the shapes and the values of all weights, and on nothing
/// else: not on how they are stored. A plan names the model it was made for by it.
[[nodiscard]] std::string fingerprint(const weights& w);
/// The same of a model that stays in its files, one tensor at a time. Errors: those of `decode`.
[[nodiscard]] std::string fingerprint(const model_source& source, const matrix_decoder& decoder);

/// Decodes one tensor into `values`, one a weight, which are laid out as engine::tensors() has them.
///
/// Errors   a value that is not finite, by tensor and index; a codec the decoder refuses.
void decode(const source_tensor& tensor, const matrix_decoder& decoder, std::span<float> values);

/// Refuses a packed tensor without a decoder, and one whose codec or size the decoder does not know.
void check_stored(const source_tensor& tensor, const matrix_decoder& decoder);

/// Writes a model folder: config.json, model.safetensors under the family's names, and `files` (name -> content), such as
/// a tokenizer's. Atomic. All but a Llama are written as Hugging Face reads them.
///
/// Errors   a weight too large for the type; a target that exists and may not be replaced.
void save(const weights& w, const std::filesystem::path& folder, dtype type = dtype::f32,
          const std::map<std::string, std::string>& files = {},
          atomic_folder::existing rule = atomic_folder::existing::refuse);

}  // namespace engine
