#pragma once

#include <cstdint>
#include <string_view>

/// Names and numbers of GGUF's tokenizer metadata.
namespace engine {

/// The token types of llama.cpp.
enum class gguf_token_type : std::int32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

namespace gguf_key {

inline constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", types_key = "tokenizer.ggml.token_type",
                                  model_key = "tokenizer.ggml.model", scores_key = "tokenizer.ggml.scores",
                                  merges_key = "tokenizer.ggml.merges", pre_key = "tokenizer.ggml.pre",
                                  bos_key = "tokenizer.ggml.bos_token_id", eos_key = "tokenizer.ggml.eos_token_id",
                                  eot_key = "tokenizer.ggml.eot_token_id", eom_key = "tokenizer.ggml.eom_token_id",
                                  unknown_key = "tokenizer.ggml.unknown_token_id",
                                  padding_key = "tokenizer.ggml.padding_token_id",
                                  mask_key = "tokenizer.ggml.mask_token_id",
                                  separator_key = "tokenizer.ggml.seperator_token_id",  // spelt so by the format
    add_bos_key = "tokenizer.ggml.add_bos_token", add_eos_key = "tokenizer.ggml.add_eos_token",
                                  add_space_key = "tokenizer.ggml.add_space_prefix",
                                  remove_blanks_key = "tokenizer.ggml.remove_extra_whitespaces",
                                  charsmap_key = "tokenizer.ggml.precompiled_charsmap",
                                  lowercase_key = "tokenizer.ggml.normalizer.lowercase",
                                  accents_key = "tokenizer.ggml.normalizer.strip_accents",
                                  template_key = "tokenizer.chat_template";

}  // namespace gguf_key
}  // namespace engine
