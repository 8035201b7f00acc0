#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace engine {

/// Where a file keeps a tensor of the engine that is a part of one of its own: element (o, i) of the part is element
/// first + o / group * group_stride + o % group * out_stride + i * in_stride of the file's.
struct tensor_part {
  std::string whole = {};               ///< the file's tensor, without prefix
  std::vector<std::size_t> shape = {};  ///< of that
  std::size_t first = 0;
  std::size_t group = 0;  ///< rows with the same stride; 0: all
  std::size_t group_stride = 0;
  std::size_t out_stride = 1, in_stride = 1;
  std::string scales = {};  ///< MXFP4: `whole` holds two codes per byte, and this tensor a scale per 32 values

  [[nodiscard]] std::size_t row(std::size_t out) const noexcept {
    return group == 0 ? first + out * out_stride : first + out / group * group_stride + out % group * out_stride;
  }
  bool operator==(const tensor_part&) const = default;
};

}  // namespace engine
