#pragma once

#include <precis/kernel/bitmap_product.hpp>
#include <precis/kernel/codebook_product.hpp>
#include <precis/kernel/dense.hpp>
#include <precis/kernel/keep_of_product.hpp>
#include <precis/kernel/matvec.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

namespace engine {

/// A matrix as the kernels take it: somebody else's bytes.
using packed_view =
    std::variant<precis::kernel::dense_matrix, precis::kernel::packed_grid, precis::kernel::packed_codebook,
                 precis::kernel::packed_keep_of_grid, precis::kernel::packed_keep_of_dense,
                 precis::kernel::packed_bitmap_dense, precis::kernel::packed_bitmap_grid>;

/// The bytes of a codec of precis/codec, by its name: float32, float16, bfloat16, integers and small floats, codebooks, keep_of and
/// bitmap around the first two kinds. Nothing when no kernel multiplies the format: groups that are no multiple of 32 (but in a
/// bitmap), values with minima in a sparse format.
///
/// Requires  as many bytes as the codec takes for the matrix.
[[nodiscard]] std::optional<packed_view> packed_view_of(std::string_view codec, std::span<const std::byte> packed,
                                                        std::size_t out, std::size_t in);

}  // namespace engine
