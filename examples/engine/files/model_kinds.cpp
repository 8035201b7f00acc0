#include <engine/files/model_kinds.hpp>
#include <engine/model/family.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

namespace engine {

namespace {

/// "GPT-2, Llama or OPT": the names of the families that `wanted` accepts.
template<class Wanted>
[[nodiscard]] std::string family_names(Wanted&& wanted) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < all_families().size(); ++i)
    if (const auto a = static_cast<architecture>(i); wanted(a)) names.push_back(family_of(a).name);
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + std::string(names[i]);
  return text;
}

}  // namespace

std::string gguf_families() {
  return family_names([](architecture a) { return family_of(a).gguf != nullptr; });
}

std::string readable_language_models() {
  return "a Hugging Face folder (" + family_names([](architecture a) { return family_of(a).causal; }) +
         "), a llama2.c .bin file, a GGUF file (" + gguf_families() + ") or a folder that `compress` wrote";
}

std::string readable_classifiers() {
  return "a Hugging Face folder (" + family_names([](architecture a) { return !family_of(a).classifier.empty(); }) +
         ")";
}

std::string readable_encoders() {
  return "a Hugging Face folder (" + family_names([](architecture a) { return !family_of(a).causal; }) + ")";
}

}  // namespace engine
