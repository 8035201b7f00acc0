#include <engine/model_files/source.hpp>

#include <engine/files/gguf.hpp>
#include <engine/files/messages.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/gguf_model.hpp>

#include <utility>

namespace engine {

namespace fs = std::filesystem;

std::string_view to_string(model_format format) noexcept {
  switch (format) {
    case model_format::hugging_face: return "Hugging Face folder";
    case model_format::llama2c: return "llama2.c file";
    case model_format::gguf: return "GGUF file";
    case model_format::compressed: break;
  }
  return "compressed folder";
}

std::size_t source_tensor::stored_bytes() const noexcept {
  if (!part) return bytes.size();
  return scales.empty() ? elements() * size_of(type) : elements() / 2 + elements() / 32;
}

std::vector<tensor_shape> expected_tensors(const config& c) {
  std::vector<tensor_shape> all;
  for_each_tensor(c, [&](std::string name, std::vector<std::size_t> shape, bool in_major, auto) {
    all.push_back({std::move(name), std::move(shape), in_major});
  });
  return all;
}

model_source open_source(const fs::path& path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (!fs::exists(status))
    refuse_input(path.string(), "no such file or folder", "a model folder, a llama2.c file or a GGUF file");
  if (fs::is_directory(status)) return open_hugging_face(path);
  if (path.extension() == ".safetensors" || path.extension() == ".json")
    refuse_input(path.string(), "one file of a model folder", "the folder that contains it");
  if (has_gguf_name(path)) return open_gguf(path);
  return open_llama2c(path);
}

}  // namespace engine
