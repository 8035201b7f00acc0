#include <engine/model/family_table.hpp>

#include <engine/model/family.hpp>
#include <engine/model/gguf_family.hpp>

#include <algorithm>
#include <string_view>

namespace engine {
namespace {

[[nodiscard]] std::string_view yes(bool can) noexcept { return can ? "yes" : "no"; }

}  // namespace

std::string family_table() {
  std::string text =
      "| family | `model_type` | published class | runs as | taps, gradients | inputs, resume | packed, with cache | "
      "experts | GGUF |\n|---|---|---|---|---|---|---|---|---|\n";
  for (const family* const f : all_families()) {
    // A transformer does all of it for every family; an encoder has no earlier positions to resume from.
    const bool experts = std::ranges::any_of(f->in_block, [](const slot& s) { return s.of_expert != nullptr; });
    text += "| " + std::string(f->name) + " | `" + std::string(f->model_type) + "` | `" +
            std::string(f->hugging_face_class) + "` | `" + (f->causal ? "transformer" : "encoder") + "` | yes | " +
            std::string(yes(f->causal)) + " | " + std::string(yes(f->causal)) + " | " + std::string(yes(experts)) +
            " | " + (f->gguf == nullptr ? std::string("no") : "`" + std::string(f->gguf->architecture) + "`") + " |\n";
  }
  return text;
}

}  // namespace engine
