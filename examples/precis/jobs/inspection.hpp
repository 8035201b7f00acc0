#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace program {

/// One tensor as its file describes it.
struct inspected_tensor {
  std::string name, type, file;
  std::vector<std::size_t> shape;  ///< outermost dimension first
  std::size_t bytes = 0;

  [[nodiscard]] std::size_t elements() const noexcept {
    std::size_t n = 1;
    for (const std::size_t e : shape) n *= e;
    return n;
  }
};

/// All tensors of one type.
struct inspected_type {
  std::string type;
  std::size_t tensors = 0, elements = 0, bytes = 0;
};

/// What a model's files say of it, read without their tensors' values. Also of models that this program cannot run.
struct inspection {
  std::string kind;                                        ///< "GGUF file", "Hugging Face folder", ...
  std::string architecture;                                ///< as the files call it; empty if they do not
  std::vector<std::pair<std::string, std::size_t>> files;  ///< names and bytes
  std::vector<inspected_tensor> tensors;                   ///< in the order of the files
  nlohmann::json metadata;  ///< an object; of a long list, its length, type and first elements
  std::string tokenizer;    ///< "gpt2, 50257 tokens"; or why it cannot be read
  std::string cannot_run;   ///< why this program cannot run the model; empty if it can
  std::vector<std::string> warnings;

  /// By type, largest first.
  [[nodiscard]] std::vector<inspected_type> types() const;
};

/// Reads the headers of a GGUF file, of all files of a split one, of a folder with config.json and safetensors, of a
/// .safetensors file, or of a llama2.c .bin file.
///
/// Errors   no such file or folder; a header that is damaged.
[[nodiscard]] inspection inspect(const std::filesystem::path& path);

}  // namespace program
