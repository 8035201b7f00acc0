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

/// A matrix in the form that the kernels take: a non-owning view of its bytes.
using packed_view =
    std::variant<precis::kernel::dense_matrix, precis::kernel::packed_grid, precis::kernel::packed_codebook,
                 precis::kernel::packed_keep_of_grid, precis::kernel::packed_keep_of_dense,
                 precis::kernel::packed_bitmap_dense, precis::kernel::packed_bitmap_grid>;

/// A view of the bytes of a codec of precis/codec, by its name: float32, float16, bfloat16, integers and small floats,
/// codebooks, and keep_of and bitmap of plain floats or integers. Returns nullopt if no kernel multiplies the format:
/// groups that are not a multiple of 32 (except in a bitmap), and values with minima in a sparse format.
///
/// Requires  the number of bytes that the codec needs for the matrix.
[[nodiscard]] std::optional<packed_view> packed_view_of(std::string_view codec, std::span<const std::byte> packed,
                                                        std::size_t out, std::size_t in);

}  // namespace engine
