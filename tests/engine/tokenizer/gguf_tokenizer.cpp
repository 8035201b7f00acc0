#include <engine/tokenizer/gguf_tokenizer.hpp>

#include "catch.hpp"
#include "engine/gguf_files.hpp"
#include "refusal.hpp"

using namespace support;
using ids = std::vector<precis::token>;

// Expected ids are those of llama.cpp (version v0.4.0 of node-llama-cpp 3.21.1) for the same vocabularies, with parse_special
// for `parsed` and without it for `plain`.

namespace {

struct encoded {
  std::string text;
  ids parsed, plain;  ///< of a document; of a text
};

void check(engine::tokenizer t, const std::vector<encoded>& table) {
  for (const encoded& row : table) {
    CAPTURE(row.text);
    t.in_text = engine::special_tokens::parsed;
    CHECK(t.encode(row.text) == row.parsed);
    t.in_text = engine::special_tokens::plain;
    CHECK(t.encode(row.text, engine::start::text) == row.plain);
  }
}

engine::gguf_metadata with(engine::gguf_metadata keys, const engine::gguf_metadata& more) {
  for (const auto& [key, value] : more) {
    std::erase_if(keys, [&](const auto& k) { return k.first == key; });
    keys.emplace_back(key, value);
  }
  return keys;
}

/// The bytes, "qz", and special tokens of every type from 257 on. "<u" and "ser>x" overlap "<user>".
engine::gguf_metadata byte_keys(bool add_bos, bool add_eos) {
  const std::vector<std::pair<std::string, std::int32_t>> more{
      {"qz", 1}, {"<s>", 3},   {"</s>", 1},  {"<|im_end|>", 1}, {"<user>", 4},
      {"<u", 4}, {"ser>x", 4}, {"<unk>", 2}, {"<|start|>", 3},  {"[PAD]", 1}};
  std::vector<std::string> tokens = word_vocabulary({}).tokens;
  std::vector<std::int32_t> types(256, 1);
  for (const auto& [text, type] : more) {
    tokens.push_back(text);
    types.push_back(type);
  }
  return {{"tokenizer.ggml.model", std::string("gpt2")},
          {"tokenizer.ggml.pre", std::string("gpt-2")},
          {"tokenizer.ggml.tokens", tokens},
          {"tokenizer.ggml.token_type", types},
          {"tokenizer.ggml.merges", std::vector<std::string>{"q z"}},
          {"tokenizer.ggml.bos_token_id", std::uint32_t{257}},
          {"tokenizer.ggml.eos_token_id", std::uint32_t{258}},
          {"tokenizer.ggml.add_bos_token", add_bos},
          {"tokenizer.ggml.add_eos_token", add_eos}};
}

}  // namespace

TEST_CASE("GGUF: control and user-defined tokens in byte-level texts", "[engine][tokenizer][gguf][oracle]") {
  // </s>, <|im_end|> and [PAD] are of type normal, but llama.cpp knows their names; <|start|> becomes user-defined.
  check(
      gguf_tokenizer(byte_keys(true, false)),
      {{"a<s>b", {257, 97, 257, 98}, {97, 60, 115, 62, 98}},
       {"</s>a", {257, 258, 97}, {60, 47, 115, 62, 97}},
       {"x<user>x", {257, 120, 260, 120}, {120, 260, 120}},  // the longest, though <u begins there too
       {"<us", {257, 261, 115}, {261, 115}},
       {"a <|im_end|> b", {257, 97, 32, 259, 32, 98}, {97, 32, 60, 124, 105, 109, 95, 101, 110, 100, 124, 62, 32, 98}},
       {"<unk><|start|>", {257, 263, 264}, {261, 110, 107, 62, 264}},
       {"[PAD]a", {257, 265, 97}, {91, 80, 65, 68, 93, 97}}});
  check(gguf_tokenizer(byte_keys(false, true)),
        {{"a<s>b", {97, 257, 98, 258}, {97, 60, 115, 62, 98}}, {"", {258}, {}}});
}

TEST_CASE("GGUF: BOS, EOS and blanks of SentencePiece vocabularies", "[engine][tokenizer][gguf][oracle]") {
  const piece_vocabulary v({{"▁", 1},
                            {"a", 1},
                            {"b", 1},
                            {"▁a", 1},
                            {"ab", 1},
                            {"▁ab", 1},
                            {"<u>", 4},
                            {"▁▁", 4},
                            {"é", 1},
                            {"</", 1},
                            {"s", 1},
                            {"s>", 1},
                            {"<e>", 5}});
  check(gguf_tokenizer(v.keys("llama")), {{"ab a", {1, 264, 262}, {264, 262}},
                                          {"a<u>ab", {1, 262, 265, 264}, {262, 265, 264}},
                                          {"  ab", {1, 266, 264}, {266, 264}},
                                          {"a▁b", {1, 262, 259, 261}, {262, 259, 261}},  // U+2581 is a blank
                                          {"é中", {1, 259, 267, 231, 187, 176}, {259, 267, 231, 187, 176}},
                                          {"", {1}, {}},
                                          {"a <u> b", {1, 262, 259, 265, 266, 261}, {262, 259, 265, 266, 261}}});
  CHECK(gguf_tokenizer(v.keys("llama")).encode("<s>a</s>") == ids{1, 1, 262, 2});
  // Not as llama.cpp, which joins "<" and "s>" of a plain text to the control token <s>.
  engine::tokenizer plain = gguf_tokenizer(v.keys("llama"));
  plain.in_text = engine::special_tokens::plain;
  CHECK(plain.encode("<s>a", engine::start::text) == ids{259, 63, 270, 260});

  check(gguf_tokenizer(with(v.keys("llama"), {{"tokenizer.ggml.add_space_prefix", false},
                                              {"tokenizer.ggml.add_bos_token", false},
                                              {"tokenizer.ggml.add_eos_token", true}})),
        {{"ab a", {263, 262, 2}, {263, 262}},
         {"a<u>ab", {260, 265, 263, 2}, {260, 265, 263}},
         {"  ab", {259, 264, 2}, {259, 264}},
         {"", {2}, {}},
         {"a <u> b", {260, 259, 265, 259, 261, 2}, {260, 259, 265, 259, 261}}});
}

TEST_CASE("GGUF: Gemma 4 merges text, takes line ends whole and always adds BOS", "[engine][tokenizer][gguf][oracle]") {
  const piece_vocabulary v({{"▁", 1}, {"a", 1}, {"b", 1}, {"ab", 1}, {"▁a", 1}, {"\n", 1}, {"\n\n", 1}, {"<u>", 4}});
  check(gguf_tokenizer(with(v.keys("gemma4"), {{"tokenizer.ggml.merges", std::vector<std::string>{"a b", "▁ a"}},
                                               {"tokenizer.ggml.add_bos_token", false}})),
        {{"ab a", {1, 262, 263}, {262, 263}},
         {"\n\n", {1, 265}, {265}},
         {"a\n\n\nb", {1, 260, 264, 264, 264, 261}, {260, 264, 264, 264, 261}},
         {"é<u> a", {1, 198, 172, 266, 263}, {198, 172, 266, 263}}});
}

TEST_CASE("GGUF: WordPiece vocabularies", "[engine][tokenizer][gguf][oracle]") {
  const engine::gguf_metadata keys{
      {"tokenizer.ggml.model", std::string("bert")},
      {"tokenizer.ggml.tokens",
       std::vector<std::string>{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁hello", "▁hell", "o", "▁e", "▁,", "▁中",
                                "s", "▁ᄀ", "▁caf", "e", "▁É"}},
      {"tokenizer.ggml.token_type", std::vector<std::int32_t>{3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
      {"tokenizer.ggml.bos_token_id", std::uint32_t{2}},
      {"tokenizer.ggml.unknown_token_id", std::uint32_t{1}},
      {"tokenizer.ggml.seperator_token_id", std::uint32_t{3}}};
  const engine::tokenizer t = gguf_tokenizer(keys);
  check(t, {{"Hello, hellos", {2, 5, 9, 5, 11, 3}, {5, 9, 5, 11}},
            {"É", {2, 8, 3}, {8}},
            {"café 中中", {2, 13, 14, 10, 10, 3}, {13, 14, 10, 10}},
            {"가", {2, 12, 3}, {12}},  // its first part alone
            {"[MASK]hello", {2, 4, 5, 3}, {1, 1, 1, 5}},
            {"hell\xE2\x80\x8Bo\tx", {2, 5, 1, 3}, {5, 1}}});
  CHECK(t.decode(ids{5, 9, 5, 11}) == "hello , hellos");
  check(gguf_tokenizer(with(keys, {{"tokenizer.ggml.normalizer.lowercase", false}})),
        {{"Hello, hellos", {2, 1, 9, 5, 11, 3}, {1, 9, 5, 11}}, {"É e\xCC\x81", {2, 15, 1, 3}, {15, 1}}});
}

TEST_CASE("GGUF: Unigram vocabularies", "[engine][tokenizer][gguf][oracle]") {
  const auto t = [](bool prefix, bool merged) {
    return gguf_tokenizer({{"tokenizer.ggml.model", std::string("t5")},
                           {"tokenizer.ggml.tokens", std::vector<std::string>{"<pad>", "</s>", "<unk>", "▁", "a", "b",
                                                                              "▁a", "ab", "▁ab", "<u>"}},
                           {"tokenizer.ggml.token_type", std::vector<std::int32_t>{3, 3, 2, 1, 1, 1, 1, 1, 1, 4}},
                           {"tokenizer.ggml.scores", std::vector<float>{0, 0, 0, -2, -3, -3.5f, -4, -5, -4.5f, 0}},
                           {"tokenizer.ggml.eos_token_id", std::uint32_t{1}},
                           {"tokenizer.ggml.unknown_token_id", std::uint32_t{2}},
                           {"tokenizer.ggml.add_space_prefix", prefix},
                           {"tokenizer.ggml.remove_extra_whitespaces", merged}});
  };
  const std::vector<std::string> texts{"ab a", "a  b ", "ZZa", "<u>ab", "a</s>", " ab"};
  const std::vector<ids> neither{{7, 6, 1}, {4, 3, 3, 5, 3, 1}, {2, 4, 1}, {9, 7, 1}, {4, 1, 1}, {8, 1}},
      prefixed{{8, 6, 1}, {6, 3, 3, 5, 3, 1}, {3, 2, 4, 1}, {9, 8, 1}, {6, 1, 1}, {3, 8, 1}},
      merged{{8, 6, 1}, {6, 3, 5, 1}, {3, 2, 4, 1}, {9, 8, 1}, {6, 1, 1}, {8, 1}};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CAPTURE(texts[i]);
    CHECK(t(false, false).encode(texts[i]) == neither[i]);
    CHECK(t(true, false).encode(texts[i]) == prefixed[i]);
    CHECK(t(true, true).encode(texts[i]) == merged[i]);
    CHECK(t(false, true).encode(texts[i]) == merged[i]);
  }
}

TEST_CASE("GGUF: what a tokenizer lacks is refused by name", "[engine][tokenizer][gguf][refusal]") {
  const auto refused = [](const engine::gguf_metadata& keys) { return refusal([&] { (void)gguf_tokenizer(keys); }); };
  CHECK_THAT(refused(with(byte_keys(true, false), {{"tokenizer.ggml.bos_token_id", std::uint32_t{266}}})),
             ContainsSubstring("\"tokenizer.ggml.bos_token_id\" is 266; expected one of the tokens"));
  CHECK_THAT(refused(with(byte_keys(true, false), {{"tokenizer.ggml.model", std::string("rwkv")}})),
             ContainsSubstring("\"rwkv\"; expected gpt2, llama, bert, t5 or gemma4"));
  // A vocabulary may lack bytes; a text that needs them cannot be encoded.
  std::vector<std::string> tokens = word_vocabulary({}).tokens;
  tokens[200] = "qz";
  const engine::tokenizer t = gguf_tokenizer(
      with(word_vocabulary({}).keys("gpt-2"),
           {{"tokenizer.ggml.tokens", tokens}, {"tokenizer.ggml.merges", std::vector<std::string>{"q z"}}}));
  CHECK(t.encode("qz", engine::start::text) == ids{200});
  CHECK_THAT(refusal([&] { (void)t.encode("\xC8\x80"); }), ContainsSubstring("has no token"));
}
