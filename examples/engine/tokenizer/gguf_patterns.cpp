#include <engine/tokenizer/gguf_patterns.hpp>

#include <algorithm>

namespace engine {
namespace {

// Parts that several patterns share. Contractions are of ASCII letters alone: case folding would add U+017F.
#define PRECIS_CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define PRECIS_LETTERS R"(|[^\r\n\p{L}\p{N}]?\p{L}+)"
#define PRECIS_SYMBOLS R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)"
#define PRECIS_SYMBOLS_SLASH R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*)"
#define PRECIS_BLANKS R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"
// Words in which small letters follow capitals. A letter outside of ASCII is both.
#define PRECIS_CASED(letters, after)                                                      \
  R"([^\r\n\p{L}\p{N}]?(?:(?=)" letters R"()[^a-z])*(?:(?=)" letters R"()[^A-Z])+)" after \
  R"(|[^\r\n\p{L}\p{N}]?(?:(?=)" letters R"()[^a-z])+(?:(?=)" letters R"()[^A-Z])*)" after
#define PRECIS_UNCASED(after) R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)" after
// Digits in threes from the right, with what comes before them.
#define PRECIS_THREES R"(\P{N}*\p{N}{1,2}(?=(?:\p{N}{3})+(?!\p{N}))|\P{N}*\p{N}{3}|\P{N}*\p{N}{1,2})"
#define PRECIS_DEEPSEEK_WORDS \
  R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)"

constexpr std::string_view gpt2_words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view llama3_words =
    PRECIS_CONTRACTIONS PRECIS_LETTERS R"(|\p{N}{1,3})" PRECIS_SYMBOLS PRECIS_BLANKS;
constexpr std::string_view qwen2_words = PRECIS_CONTRACTIONS PRECIS_LETTERS R"(|\p{N})" PRECIS_SYMBOLS PRECIS_BLANKS;
constexpr std::string_view gpt4o_words =
    PRECIS_CASED(R"(\p{L})", PRECIS_CONTRACTIONS "?") R"(|\p{N}{1,3})" PRECIS_SYMBOLS_SLASH PRECIS_BLANKS;
constexpr std::string_view punctuated_words = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

}  // namespace

const std::vector<gguf_splitter>& gguf_splitters() {
  static const std::vector<gguf_splitter> all{
      {.names = {"default"},  // also if the key is missing
       .patterns = {R"([\p{P}\$\+<=>\^~\|]+)", gpt2_words, R"(\p{N}+)", R"([0-9][0-9][0-9])"}},
      {.names = {"gpt-2", "phi-2", "olmo", "mpt", "jais", "gigachat", "a.x-4.0", "mellum", "modern-bert", "exaone4",
                 "trillion", "granite-docling", "jina-es", "jina-de", "jina-v1-en", "roberta-bpe"},
       .patterns = {gpt2_words}},
      {.names = {"smollm", "refact", "starcoder", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"},
       .patterns = {R"(\p{N})", gpt2_words}},
      {.names = {"falcon"}, .patterns = {R"([\p{P}\$\+<=>\^~\|`]+)", gpt2_words, R"([0-9][0-9][0-9])"}},
      {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
                 "jina-v5-nano"},
       .patterns = {llama3_words},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}, .patterns = {llama3_words}},
      {.names = {"jais-2"},
       .patterns = {PRECIS_CONTRACTIONS PRECIS_LETTERS
                    R"(|\p{N}{1,3})" PRECIS_SYMBOLS
                    R"(|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S))"
                    R"(|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"}},
      {.names = {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open",
                 "grok-2"},
       .patterns = {qwen2_words}},
      {.names = {"qwen35"},
       .patterns = {PRECIS_CONTRACTIONS
                    R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" PRECIS_BLANKS}},
      {.names = {"bailingmoe", "bailingmoe2", "llada-moe"},
       .patterns = {PRECIS_CONTRACTIONS PRECIS_LETTERS R"(|\p{N})" PRECIS_SYMBOLS R"(|\s*[\r\n]|\s+(?!\S)|\s+)"}},
      {.names = {"seed-coder"},
       .patterns = {PRECIS_CONTRACTIONS PRECIS_LETTERS R"(|\p{N}| ?[^\s\p{L}\p{N}\r\n]+)" PRECIS_BLANKS}},
      {.names = {"laguna"}, .patterns = {R"([^\n]+|\n+)", qwen2_words}},
      {.names = {"minicpm5"},
       .patterns = {R"(\p{N}{1,3})", PRECIS_CONTRACTIONS PRECIS_LETTERS R"(|\p{N}+)" PRECIS_SYMBOLS PRECIS_BLANKS},
       .ignore_merges = true},
      {.names = {"exaone-moe"},
       .patterns = {PRECIS_CONTRACTIONS
                    R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?)"
                    R"(|\s*[\r\n]|\s+(?!\S)|\s+)"}},
      {.names = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, .patterns = {gpt4o_words}},
      {.names = {"granite-embed-multi-97m"},
       .patterns = {PRECIS_CASED(R"([\p{L}\p{M}])",
                                 PRECIS_CONTRACTIONS "?") R"(|\p{N}{1,3})" PRECIS_SYMBOLS_SLASH PRECIS_BLANKS},
       .ignore_merges = true},
      {.names = {"tekken"},
       .patterns = {PRECIS_CASED(R"(\p{L})", "") R"(|\p{N})" PRECIS_SYMBOLS_SLASH PRECIS_BLANKS},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"tiny_aya", "cohere2moe"},
       .patterns = {PRECIS_THREES,
                    PRECIS_UNCASED(PRECIS_CONTRACTIONS "?") R"(|\p{N}{1,3})" PRECIS_SYMBOLS_SLASH PRECIS_BLANKS}},
      {.names = {"youtu"},
       .patterns =
           {R"([가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+)",
            PRECIS_UNCASED(PRECIS_CONTRACTIONS "?") R"(|\p{N})" PRECIS_SYMBOLS_SLASH PRECIS_BLANKS},
       .ignore_merges = true},
      {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm"},
       .patterns = {R"(\p{N}{1,3})", R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)",
                    PRECIS_DEEPSEEK_WORDS PRECIS_BLANKS}},
      {.names = {"deepseek-coder"},
       .patterns = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", R"((?:(?!\s)[\x{800}-\x{9fa5}\x{ac00}-\x{d7ff}])+)",
                    R"(\p{N})"}},
      {.names = {"afmoe"},
       .patterns = {PRECIS_THREES,
                    R"([\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{8c48}-\x{faff}\x{3040}-\x{309f}\x{30a0}-\x{30ff})"
                    R"(\x{ff65}-\x{ff9f}\x{2f00}-\x{2fdf}\x{e40}-\x{e7f}\x{e80}-\x{eff}\x{1780}-\x{17ff})"
                    R"(\x{1000}-\x{109f}\x{aa60}-\x{aa7f}\x{a9e0}-\x{a9ff}\x{ac00}-\x{d7af}\x{1100}-\x{11ff}]+)",
                    PRECIS_DEEPSEEK_WORDS PRECIS_BLANKS}},
      {.names = {"superbpe"}, .patterns = {R"(\p{N}+)", R"((?=(?:[0-9]{3})+(?![0-9])))"}},
      {.names = {"poro-chat", "bloom", "gpt3-finnish"}, .patterns = {punctuated_words}},
      {.names = {"viking"}, .patterns = {punctuated_words, R"(\p{N})"}},
      {.names = {"chameleon"},
       .patterns = {"<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", R"([\t\n]|    |  )", R"(\p{N})",
                    R"([\p{P}!-/:-@\[-`{-~])", gpt2_words},
       .add_bos = true},
      {.names = {"gemma4", "granite-embed-multi-311m"},
       .patterns = {R"([^\n]+|\n+)"},
       .add_bos = true,
       .raw_text = true,
       .whole_newlines = true},
      {.names = {"sarvam-moe"}, .patterns = {R"([^\n]+|\n+)"}, .raw_text = true}};
  return all;
}

#undef PRECIS_CONTRACTIONS
#undef PRECIS_LETTERS
#undef PRECIS_SYMBOLS
#undef PRECIS_SYMBOLS_SLASH
#undef PRECIS_BLANKS
#undef PRECIS_CASED
#undef PRECIS_UNCASED
#undef PRECIS_THREES
#undef PRECIS_DEEPSEEK_WORDS

const gguf_splitter* find_gguf_splitter(std::string_view name) {
  const auto& all = gguf_splitters();
  const auto found =
      std::ranges::find_if(all, [&](const auto& s) { return std::ranges::find(s.names, name) != s.names.end(); });
  return found == all.end() ? nullptr : &*found;
}

std::string gguf_splitter_names() {
  std::string names;
  for (const gguf_splitter& s : gguf_splitters())
    for (const std::string_view n : s.names) names += (names.empty() ? "" : ", ") + std::string(n);
  return names;
}

}  // namespace engine
