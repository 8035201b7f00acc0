#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace engine {

/// A matrix in a type that GGUF has.
struct ggml_matrix {
  std::string type;
  std::vector<std::byte> bytes;
};

/// The smallest of q4_0, q4_1, q5_0, q5_1 and q8_0 that holds every weight of a matrix in an integer format of this
/// library exactly: the scales must be halves, and groups whole blocks of 32. nullopt if none does, or for another codec.
///
/// Requires  the number of bytes that the codec needs.
[[nodiscard]] std::optional<ggml_matrix> repack_as_ggml(std::string_view codec, std::span<const std::byte> packed,
                                                        std::size_t out, std::size_t in);

}  // namespace engine
