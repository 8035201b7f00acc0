#pragma once

#include <engine/files/json.hpp>
#include <engine/files/safetensors.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Folders whose matrices GPTQ, AWQ or compressed-tensors has quantized: each matrix is several tensors, with codes,
/// scales and zero points, which hold the same values as one matrix in a format of this library.
namespace engine {

enum class checkpoint_method {
  gptq,             ///< qweight [in bits / 32 x out], qzeros, scales [groups x out], g_idx [in]
  awq,              ///< qweight [in x out bits / 32], qzeros, scales [groups x out]
  packed_integers,  ///< compressed-tensors, pack-quantized: weight_packed [out x in bits / 32], weight_scale
  integers,         ///< compressed-tensors, int-quantized: weight [out x in] in bytes, weight_scale
  mxfp4,  ///< compressed-tensors, mxfp4-pack-quantized: weight_packed [out x in / 2], weight_scale [out x in / 32]
};

/// What "quantization_config" in config.json says.
struct checkpoint_format {
  checkpoint_method method = checkpoint_method::gptq;
  unsigned bits = 4;
  std::size_t group = 0;     ///< 0: a row; compressed-tensors: as the scales' shape says
  unsigned zero_offset = 0;  ///< GPTQ of version 1 stores zero points less one
};

/// Reads "quantization_config" of a config.json; nullopt if there is none.
/// Errors   a method, a version or a number of bits that is not supported, by name.
[[nodiscard]] std::optional<checkpoint_format> parse_checkpoint_format(const json& config, const std::string& where);

/// One matrix in a format of this library.
struct repacked_matrix {
  std::string name;  ///< as the unquantized matrix is called: "model.layers.0.mlp.up_proj.weight"
  std::string codec;
  std::size_t out = 0, in = 0;
  std::vector<std::byte> bytes;
  std::string file;                ///< of its codes, for messages
  std::vector<std::string> parts;  ///< the names of its tensors
};

/// The quantized matrices of a folder. Every weight has exactly the value scale * (code - zero point) in float32.
///
/// Formats   `symmetric_full`, `affine` or `min_anchored` of the checkpoint's bits and groups, with half scales where
///           the file's are halves, or `mxfp4`; float32 if no format has the groups: with act-order in GPTQ, whose groups
///           are spread over a row, and group sizes other than 32, 64, 128 and the row.
/// Errors   a part of a matrix that is missing, or of another type or shape, by name; codes, scales or groups out of
///          range.
/// Cost     memory: the packed matrices.
[[nodiscard]] std::vector<repacked_matrix> repack_checkpoint(const safetensors& tensors,
                                                             const checkpoint_format& format, const std::string& where);

/// The codes of one matrix before they are packed.
struct integer_matrix {
  unsigned bits = 4;
  std::size_t out = 0, in = 0, group = 0;  ///< group: columns per scale, at most `in`
  std::vector<std::uint8_t> codes;         ///< [out x in]
  std::vector<float> scales;               ///< [out x groups]
  std::vector<std::uint16_t> zeros;        ///< [out x groups]; may be 2^bits
  std::vector<std::uint32_t> group_of;     ///< [in] the group of every column; empty: consecutive groups
};
/// The codec and the bytes that hold these values exactly. Requires whole groups and codes of `bits` bits.
void pack_integers(const integer_matrix& m, repacked_matrix& to);

}  // namespace engine
