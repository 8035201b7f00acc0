#pragma once

#include <engine/model_files/load.hpp>

#include <filesystem>

namespace support {

/// A loaded model whose weights are all floats: for tests that hold views of several tensors at once.
[[nodiscard]] inline engine::bundle float_bundle(const std::filesystem::path& path,
                                                 const engine::load_options& options = {}) {
  engine::bundle b = engine::load(path, options);
  engine::to_floats(b.weights);
  return b;
}

}  // namespace support
