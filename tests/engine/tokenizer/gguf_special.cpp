#include <engine/tokenizer/gguf_special.hpp>

#include "catch.hpp"
#include "engine/gguf_files.hpp"

using namespace support;
using engine::gguf_token_type;
using ids = std::vector<precis::token>;

namespace {

/// The types of tokens of one type after llama.cpp's changes; `more`: other keys of the file.
std::vector<gguf_token_type> typed(const std::vector<std::string>& names, gguf_token_type before,
                                   const engine::gguf_metadata& more = {}) {
  const temporary_folder folder;
  engine::gguf_metadata keys{{"general.name", std::string("x")}};
  keys.insert(keys.end(), more.begin(), more.end());
  engine::gguf_writer(folder / "t.gguf", keys, {}).commit();
  const std::string file = slurp(folder / "t.gguf");
  const engine::gguf_header h = engine::parse_gguf(as_bytes(file), "t.gguf");
  engine::vocabulary v;
  for (std::size_t i = 0; i < names.size(); ++i) v.add(names[i], i, names.size(), "test");
  std::vector<gguf_token_type> types(names.size(), before);
  engine::assign_types_by_name(v, engine::gguf_keys(h, "t.gguf"), types);
  return types;
}

}  // namespace

TEST_CASE("tokens that llama.cpp knows by name change their types", "[engine][tokenizer][gguf][worked-example]") {
  constexpr auto normal = gguf_token_type::normal, control = gguf_token_type::control,
                 own = gguf_token_type::user_defined;
  CHECK(typed({"a", "<|eot_id|>", "<fim_prefix>", "<|channel|>"}, normal) ==
        std::vector{normal, control, control, own});
  CHECK(typed({"<fim_prefix>"}, normal, {{"tokenizer.ggml.fim_pre_token_id", 0u}}) == std::vector{normal});
  CHECK(typed({"<|end|>", "<|return|>"}, control) == std::vector{control, control});
  CHECK(typed({"<|end|>", "<|return|>", "<|call|>"}, control) == std::vector{own, control, control});
  CHECK(typed({"</s>"}, normal) == std::vector{control});
  CHECK(typed({"</s>", "<|tool_response>"}, normal) == std::vector{normal, control});
}

TEST_CASE("Phi-3's special tokens take the white space after them", "[engine][tokenizer][gguf][oracle]") {
  const piece_vocabulary v({{"▁", 1}, {"a", 1}, {"<|end|>", 3}, {"<|user|>", 3}, {"<|endoftext|>", 3}});
  engine::gguf_metadata keys = v.keys("llama");
  keys.emplace_back("general.name", std::string("Phi-3 mini"));
  // llama.cpp's ids for a file of that name
  CHECK(gguf_tokenizer(keys).encode("<|user|>\n a<|end|>\n<|endoftext|>\na") ==
        ids{1, 262, 259, 260, 261, 263, 259, 13, 260});
  std::vector<engine::added_token> added{{.id = 0, .content = "[MASK]", .special = true}};
  const temporary_folder folder;
  engine::gguf_writer(folder / "t.gguf", engine::gguf_metadata{{"general.name", std::string("Modern-BERT base")}}, {})
      .commit();
  const std::string file = slurp(folder / "t.gguf");
  const engine::gguf_header h = engine::parse_gguf(as_bytes(file), "t.gguf");
  engine::assign_blanks_by_name(engine::gguf_keys(h, "t.gguf"), added);
  CHECK(added[0].lstrip);
  CHECK_FALSE(added[0].rstrip);
}

TEST_CASE("llama.cpp's words for WordPiece", "[engine][tokenizer][gguf][worked-example]") {
  engine::aligned_text out;
  engine::gguf_bert_normalizer(true, true)({.text = "ÉA\xCC\x81\x01 \xC2\x85가"}, out);
  CHECK(out.text() == "ea \xC2\x85ᄀ");  // no marks, no control characters, the first part of a syllable
  std::vector<std::string> words;
  engine::gguf_bert_words("_")({.text = "ab, c\xC2\xA0中中$"},
                               [&](const engine::piece& p) { words.emplace_back(p.text); });
  CHECK(words == std::vector<std::string>{"_ab", "_,", "_c", "_中", "_中", "_$"});
}
