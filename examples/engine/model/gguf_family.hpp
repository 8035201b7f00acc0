#pragma once

#include <engine/files/gguf.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// How llama.cpp's files hold a family, as data: docs/gguf.md has the names and orders.
namespace engine {

/// A GGUF file's keys below its architecture, and its tensors.
class gguf_reader {
 public:
  /// All arguments must outlive this object.
  gguf_reader(const gguf_header& header, const gguf_keys& keys, std::string_view architecture)
      : header_(header), keys_(keys), architecture_(architecture) {}

  [[nodiscard]] const gguf_keys& keys() const noexcept { return keys_; }
  /// ".rope.freq_base" to "llama.rope.freq_base".
  [[nodiscard]] std::string key(std::string_view rest) const { return std::string(architecture_) + std::string(rest); }
  [[nodiscard]] bool has(std::string_view rest) const { return keys_.find(key(rest)) != nullptr; }
  [[nodiscard]] std::size_t whole_or(std::string_view rest, std::size_t otherwise) const {
    return keys_.whole_number_or(key(rest), otherwise);
  }
  /// A number with the fewest decimal digits that are the file's float.
  [[nodiscard]] double number_or(std::string_view rest, double otherwise) const;
  /// One number per layer: an array of them, or one for all. Errors: another number of them.
  [[nodiscard]] std::vector<std::size_t> per_layer(std::string_view rest, std::size_t layers) const;
  [[nodiscard]] const gguf_tensor* tensor(std::string_view name) const noexcept;
  [[nodiscard]] std::string_view architecture() const noexcept { return architecture_; }

 private:
  const gguf_header& header_;
  const gguf_keys& keys_;
  std::string_view architecture_;
};

/// One of llama.cpp's architectures, as a family uses it. Beside what all have in common:
struct gguf_family {
  std::string_view architecture;     ///< "qwen3moe"
  std::string_view blocks = "blk.";  ///< "enc.blk." of T5
  bool layer_norm = false;           ///< the norms' epsilon is that of LayerNorm
  bool rotary = true;                ///< has rotary positions
  bool whole_heads = false;          ///< all features of a head rotate
  bool varies = false;               ///< layers may differ in heads and widths
  bool adjacent_pairs = false;       ///< rotary pairs are rows 2i and 2i + 1 of a head
  bool fused_qkv = false;            ///< query, key and value are one tensor, in this order
  bool fused_gate_up = false;        ///< gate and up are one tensor, in this order
  bool tiled_value_heads = false;    ///< delta net: value head v of key head k is v * key heads + k
  bool folds_scales = false;         ///< multipliers are in the weights
  bool attends_to_all = false;       ///< llama.cpp ignores windows
  std::span<const std::pair<std::string_view, std::string_view>> names =
      {};  ///< the usual name, and its own; = before one that has no ending
  std::span<const std::pair<std::string_view, std::string_view>> keys = {};  ///< ".logit_scale", "logits_scaling"
  std::string_view honours = {};                                             ///< further keys that `complete` reads
  std::string_view states = {};  ///< what config.json would say and files do not, as its text
  /// Whether a file of the architecture is of this family. Null: always.
  bool (*is_of)(const gguf_reader& file) = nullptr;
  /// Adds to what will be read as a config.json.
  void (*complete)(const gguf_reader& file, nlohmann::json& config) = nullptr;
};

}  // namespace engine
