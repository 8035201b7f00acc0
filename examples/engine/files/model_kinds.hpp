#pragma once

#include <string>

/// The models that the engine reads, in words, for help texts and messages.
namespace engine {

/// "a Hugging Face folder (GPT-2, Llama, OPT or Phi), a llama2.c .bin file, ..."
[[nodiscard]] std::string readable_language_models();
/// "a Hugging Face folder (BERT)"
[[nodiscard]] std::string readable_classifiers();
/// The same of what `precis embed` reads.
[[nodiscard]] std::string readable_encoders();
/// The families that GGUF files may hold: "GPT-2 or Llama".
[[nodiscard]] std::string gguf_families();

}  // namespace engine
