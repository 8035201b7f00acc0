#include <engine/tokenizer/gguf_special.hpp>

#include <engine/tokenizer/unicode.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <utility>

namespace engine {
namespace {

/// The names by which llama.cpp finds a token that has a key, if the file does not have the key.
struct named_role {
  std::string_view key;
  std::vector<std::string_view> names;
};
[[nodiscard]] const std::vector<named_role>& named_roles() {
  static const std::vector<named_role> roles{
      {"tokenizer.ggml.fim_pre_token_id",
       {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|prefix|>"}},
      {"tokenizer.ggml.fim_suf_token_id",
       {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|suffix|>"}},
      {"tokenizer.ggml.fim_mid_token_id",
       {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
        "<|middle|>"}},
      {"tokenizer.ggml.fim_pad_token_id", {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
      {"tokenizer.ggml.fim_rep_token_id", {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
      {"tokenizer.ggml.fim_sep_token_id", {"<|file_sep|>"}}};
  return roles;
}

constexpr std::string_view ends[] = {"<|eot_id|>",
                                     "<|im_end|>",
                                     "<|end|>",
                                     "<|return|>",
                                     "<|call|>",
                                     "<|flush|>",
                                     "<|calls|>",
                                     "<end_of_turn>",
                                     "<|endoftext|>",
                                     "</s>",
                                     "<|eom_id|>",
                                     "<EOT>",
                                     "_<EOT>",
                                     "[EOT]",
                                     "[EOS]",
                                     "<|end_of_text|>",
                                     "<end_of_utterance>",
                                     "<eos>",
                                     "<turn|>",
                                     "<|tool_response>",
                                     "<｜end▁of▁sentence｜>",
                                     "[e~["};
constexpr std::string_view shown_names[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

}  // namespace

void assign_types_by_name(const vocabulary& tokens, const gguf_keys& keys, std::span<gguf_token_type> types) {
  const auto has = [&](std::string_view name) { return tokens.find(name).has_value(); };
  const auto assign = [&](std::string_view name, gguf_token_type type) {
    if (const auto id = tokens.find(name)) types[static_cast<std::size_t>(*id)] = type;
  };
  for (const named_role& role : named_roles())
    if (keys.find(role.key) == nullptr)
      for (const std::string_view name : role.names) assign(name, gguf_token_type::control);
  for (const std::string_view name : ends) assign(name, gguf_token_type::control);
  for (const std::string_view name : shown_names) assign(name, gguf_token_type::user_defined);
  const bool calls = has("<|call|>") || has("<|calls|>");
  if (calls && has("<|end|>") && (has("<|return|>") || has("<|flush|>")))
    assign("<|end|>", gguf_token_type::user_defined);
  if (has("<|tool_response>")) assign("</s>", gguf_token_type::normal);
}

void assign_blanks_by_name(const gguf_keys& keys, std::vector<added_token>& added) {
  std::string name(keys.text_or("general.name", ""));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto contains = [](std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
  };
  const std::string_view architecture = keys.text_or("general.architecture", "");
  if (contains(architecture, "nomic-bert-moe") || contains(architecture, "jina-bert-v3")) {
    for (added_token& t : added) t.lstrip = t.content == "<mask>";
  } else if (contains(name, "phi-3") || contains(name, "phi3")) {
    for (added_token& t : added) t.rstrip = t.content != "<unk>" && t.content != "<s>" && t.content != "<|endoftext|>";
  } else if (contains(name, "modern-bert")) {
    for (added_token& t : added) t.lstrip = t.content == "[MASK]";
  }
}

normalizer gguf_bert_normalizer(bool lowercase, bool strip_accents) {
  return [=](const piece& in, aligned_text& out) {
    for (std::size_t at = 0; at < in.text.size();) {
      const std::size_t length = std::max<std::size_t>(utf8_length(in.text, at), 1), begin = at;
      at += length;
      const char32_t read = utf8_decode(in.text, begin, length);
      char32_t point = read;
      if (strip_accents) {
        std::array<utf8proc_int32_t, 32> parts{};
        int boundary = 0;
        if (utf8proc_decompose_char(static_cast<utf8proc_int32_t>(read), parts.data(),
                                    static_cast<utf8proc_ssize_t>(parts.size()), UTF8PROC_DECOMPOSE, &boundary) > 0)
          point = static_cast<char32_t>(parts[0]);
      }
      if (!is_white_space(point)) {
        if (point == 0 || point == 0xFFFD || is_control(point)) continue;
        if (strip_accents && is_mark(point)) continue;
        if (lowercase) point = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point)));
      }
      if (point == read)
        out.copy(in, begin, at);
      else
        out.add(utf8_encode(point), in.range(begin, at));
    }
  };
}

pre_tokenizer gguf_bert_words(std::string mark) {
  const pre_tokenizer words =
      in_order({split_at(is_white_space, delimiter::removed),
                split_at([](char32_t point) noexcept { return is_punctuation(point) || is_ideograph(point); },
                         delimiter::isolated)});
  return [words, mark = std::move(mark)](const piece& in, const piece_sink& sink) {
    words(in, [&](const piece& word) {
      aligned_text marked;
      marked.add(mark, word.range(0, 0));
      marked.copy(word, 0, word.text.size());
      sink(marked.view(word.continues));
    });
  };
}

}  // namespace engine
