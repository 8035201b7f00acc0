#pragma once

#include <engine/model/matrix_values.hpp>
#include <engine/model_files/source.hpp>

#include <cstddef>
#include <memory>
#include <span>

/// Tensors of plain values and of ggml's blocks that are decoded row by row, from the file that holds them.
namespace engine {

/// Whether rows of a tensor can be decoded one at a time: plain values or MXFP4 in one or two dimensions, and matrices of
/// ggml's blocks.
[[nodiscard]] bool has_rows(const source_tensor& tensor) noexcept;

/// Decodes rows of `tensor` in the layout of engine::tensors(). Values are not checked.
/// Requires has_rows(tensor), the bytes that its shape needs (check_stored), first + count <= tensor.shape[0], and count times as many floats at `to` as a row has.
void decode_rows(const source_tensor& tensor, std::size_t first, std::size_t count, float* to);

/// The values of a tensor that stay in its file. They keep `source` alive.
/// Requires has_rows(source->tensors[tensor]).
[[nodiscard]] matrix_values stored_values(std::shared_ptr<const model_source> source, std::size_t tensor);

/// The engine's rotary pairs are adjacent rows 2i and 2i + 1 of a head, those of most files are rows i and i + half.
/// Returns the file's row of the engine's row `r`, of heads of `head` rows.
[[nodiscard]] constexpr std::size_t half_split_row(std::size_t r, std::size_t head) noexcept {
  const std::size_t i = r % head;
  return r - i + (i % 2 == 0 ? i / 2 : head / 2 + i / 2);
}

}  // namespace engine
