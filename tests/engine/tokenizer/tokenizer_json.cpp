#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/json.hpp>

#include <nlohmann/json.hpp>

#include "engine/support.hpp"
#include "engine/tokenizers.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <string>
#include <string_view>
#include <vector>

using namespace support;
using engine::json;
using engine::start;

namespace {

using ids = std::vector<precis::token>;

/// Words of the letters a and b, and a few merges; "<s>" and "<pad>" are added.
json small() {
  return json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [
      {"id": 6, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
      {"id": 7, "content": "<go>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false}],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [6], "tokens": ["<s>"]}}},
    "decoder": null,
    "model": {"type": "BPE", "dropout": null, "unk_token": "?", "continuing_subword_prefix": null, "end_of_word_suffix": null,
      "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
      "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3, "abb": 4, "\u00e9": 5}, "merges": ["a b", ["ab", "b"]]}})");
}

engine::tokenizer read(const json& file) { return engine::parse_tokenizer_json(file.dump(), "t"); }

/// The message with which the file is refused when the value at a path is another.
std::string refused(const char* path, const json& value) {
  json file = small();
  file[json::json_pointer(path)] = value;
  return refusal([&] { (void)read(file); });
}

}  // namespace

TEST_CASE("tokenizer.json: every stage in its turn", "[engine][tokenizer][worked-example]") {
  engine::tokenizer t = read(small());
  CHECK(t.size() == 8);
  CHECK(t.encode("ABB  ab<s>x<go>A") == ids{6, 4, 3, 6, 0, 7, 1});
  CHECK(t.encode("abb", start::text) == ids{4});
  CHECK(t.pieces("Ab x") == std::vector<std::string>{"<s>", "ab", "?"});
  CHECK(t.encode_with_offsets(" AB\u00c9", start::text) == std::vector<engine::token_span>{{3, 1, 3}, {5, 3, 5}});
  t.in_text = engine::special_tokens::plain;
  CHECK(t.encode("a<s><go>", start::text) == ids{1, 0, 0, 0, 7});  // <go> is not special
  const auto pair = t.encode_pair("a", "b");
  CHECK(pair.ids == ids{1, 6, 2});
  CHECK(pair.types == std::vector<unsigned>{0, 1, 1});
  CHECK(t.decode(ids{6, 4, 1}) == "<s> abb a");  // without a decoder, blanks between tokens
  CHECK(t.decode(ids{6, 4, 1}, engine::tokenizer::special_text::dropped) == "abb a");
  CHECK(t.name_of(7) == "<go>");
  CHECK_THAT(refusal([&] { (void)t.name_of(8); }), ContainsSubstring("token 8; expected 0 to 7"));
  CHECK(t.encode("a\xFF", start::text) == ids{1, 0});  // read as U+FFFD
}

TEST_CASE("tokenizer.json: added tokens beyond a model's embedding are left out",
          "[engine][tokenizer][worked-example]") {
  json file = small();
  file["added_tokens"][1]["id"] = 9;  // a hole at 7 and 8
  const engine::tokenizer t = read(file);
  CHECK(t.size() == 10);
  CHECK(t.encode("<go>", start::text) == ids{9});
  const engine::tokenizer limited = t.limited_to(9);
  CHECK(limited.size() == 9);  // 7 and 8 are ids without a token
  CHECK(limited.encode("<go>", start::text) == ids{0, 0, 0, 0});
  CHECK(limited.encode("<s>", start::text) == ids{6});
  CHECK(t.limited_to(3).size() == 6);  // the vocabulary itself stays
}

TEST_CASE("tokenizer.json: what is not supported or not consistent is refused by name",
          "[engine][tokenizer][refusal]") {
  CHECK(refused("/version", "1.0").empty());
  CHECK_THAT(refused("/version", "2.0"), ContainsSubstring("the version \"2.0\""));
  CHECK_THAT(refused("/extra", 1), ContainsSubstring("the setting \"extra\""));
  CHECK_THAT(refused("/normalizer/type", "Nmt"), ContainsSubstring("t: normalizer: the normalizer \"Nmt\""));
  CHECK_THAT(refused("/normalizer/extra", 1), ContainsSubstring("the setting \"extra\" of Lowercase"));
  CHECK_THAT(refused("/pre_tokenizer/type", "UnicodeScripts"),
             ContainsSubstring("the pre-tokenizer \"UnicodeScripts\""));
  CHECK_THAT(refused("/pre_tokenizer",
                     json::parse(R"({"type": "Split", "pattern": {"Regex": "\\b"}, "behavior": "Isolated"})")),
             ContainsSubstring("\"\\b\" in the pattern"));
  CHECK_THAT(
      refused("/pre_tokenizer", json::parse(R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Odd"})")),
      ContainsSubstring("the behavior \"Odd\""));
  CHECK_THAT(refused("/post_processor/type", "Odd"), ContainsSubstring("the post-processor \"Odd\""));
  CHECK_THAT(refused("/post_processor/special_tokens", json::object()), ContainsSubstring("the special token \"<s>\""));
  CHECK_THAT(refused("/post_processor/special_tokens/<s>/ids/0", 99), ContainsSubstring("id 99 of the special token"));
  CHECK_THAT(refused("/decoder", json::parse(R"({"type": "CTC"})")), ContainsSubstring("the decoder \"CTC\""));
  CHECK_THAT(refused("/model/type", "WordLevel"), ContainsSubstring("the model \"WordLevel\""));
  CHECK_THAT(refused("/model/dropout", 0.5), ContainsSubstring("\"dropout\""));
  CHECK_THAT(refused("/model/unk_token", "!"), ContainsSubstring("token \"!\" is not in the vocabulary"));
  CHECK_THAT(refused("/model/vocab", json::array()), ContainsSubstring("\"vocab\" is an array"));
  CHECK_THAT(refused("/model/vocab/a", "x"), ContainsSubstring("token \"a\" has the string \"x\" as its id"));
  CHECK_THAT(refused("/model/vocab/a", 2), ContainsSubstring("id 2 has two tokens"));
  CHECK_THAT(refused("/model/vocab/a", 100000), ContainsSubstring("has the id 100000"));
  CHECK_THAT(refused("/model/merges/0", "a  b"), ContainsSubstring("merge 1"));
  CHECK_THAT(refused("/model/merges/0", json::array({"a"})), ContainsSubstring("merge 1 is an array"));
  CHECK_THAT(refused("/added_tokens/0/id", 3), ContainsSubstring("id 3 has two tokens"));
  CHECK_THAT(refused("/added_tokens/0/content", "ab"),
             ContainsSubstring("the added token \"ab\" has the id 6; expected 3"));
  CHECK_THAT(refused("/added_tokens/0/content", ""), ContainsSubstring("an added token without text"));
  CHECK_THAT(refused("/added_tokens/0/extra", 1), ContainsSubstring("the setting \"extra\""));
  CHECK_THAT(refusal([] { (void)engine::parse_tokenizer_json("{}", "t"); }), ContainsSubstring("t: no \"model\""));
  json unigram = small();
  unigram["model"] = json::parse(R"({"type": "Unigram", "unk_id": 9, "vocab": [["a", -1]]})");
  CHECK_THAT(refusal([&] { (void)read(unigram); }), ContainsSubstring("the unk_id 9"));
  unigram["model"] = json::parse(R"({"type": "Unigram", "vocab": [["a", null]]})");
  CHECK_THAT(refusal([&] { (void)read(unigram); }), ContainsSubstring("token 0 is an array"));
}

TEST_CASE("a folder's tokenizer_config.json is honoured, or refused by key", "[engine][tokenizer][source]") {
  const temporary_folder folder;
  put(folder / "tokenizer.json", small().dump());
  const auto with = [&](const std::string& config) {
    put(folder / "tokenizer_config.json", config);
    return engine::load_tokenizer(folder.path());
  };
  const auto bad = [&](const std::string& config) { return refusal([&] { (void)with(config); }); };
  CHECK(with(R"({"bos_token": "<s>", "chat_template": "x", "model_max_length": 9, "image_token": "i"})").encode("a") ==
        ids{6, 1});
  CHECK(with(R"({"add_bos_token": true, "bos_token": "<s>"})").encode("a") == ids{6, 1});  // the template has it
  CHECK(with(R"({"add_bos_token": true, "bos_token": {"content": "<go>"}})").encode("a") == ids{7, 6, 1});
  CHECK(with(R"({"add_eos_token": true, "eos_token": "<go>"})").encode("a") == ids{6, 1, 7});
  CHECK(with(R"({"split_special_tokens": true})").encode("<s>", start::text) == ids{0, 0, 0});
  CHECK_THAT(bad(R"({"new_key": 1})"), ContainsSubstring("key \"new_key\""));
  CHECK_THAT(bad(R"({"add_bos_token": false, "bos_token": "<s>"})"),
             ContainsSubstring("because the template adds <s>"));
  CHECK_THAT(bad(R"({"add_eos_token": true})"), ContainsSubstring("true without eos_token"));
  CHECK_THAT(bad(R"({"pad_token": "<no>"})"), ContainsSubstring("pad_token \"<no>\" is not in the vocabulary"));
  CHECK_THAT(bad(R"({"added_tokens_decoder": {"9": {"content": "<new>"}}})"),
             ContainsSubstring("\"<new>\" with the id 9"));
  CHECK_THAT(bad(R"({"added_tokens_decoder": {"x": {"content": "<s>"}}})"), ContainsSubstring("the id \"x\""));
  CHECK_THAT(bad(R"({"do_basic_tokenize": false})"), ContainsSubstring("do_basic_tokenize"));
  CHECK_THAT(bad(R"({"add_bos_token": 1})"), ContainsSubstring("true or false"));
  put(folder / "tokenizer_config.json", "{}");
  put(folder / "added_tokens.json", R"({"<s>": 3})");
  CHECK_THAT(refusal([&] { (void)engine::load_tokenizer(folder.path()); }),
             ContainsSubstring("the id 6, that of the tokenizer"));
  put(folder / "added_tokens.json", R"({"<s>": 6})");
  put(folder / "special_tokens_map.json", R"({"odd": 1})");
  CHECK_THAT(refusal([&] { (void)engine::load_tokenizer(folder.path()); }),
             ContainsSubstring("special_tokens_map.json: key \"odd\""));
}

TEST_CASE("vocab.json: added and special tokens in a text, and an implicit blank", "[engine][tokenizer][source]") {
  const temporary_folder folder;
  const merge_list merges{{"<", "|"}, {"a", "b"}};
  json vocab = json::parse(vocabulary_json(merges));
  vocab["<|endoftext|>"] = vocab.size();
  put(folder / "vocab.json", vocab.dump());
  put(folder / "merges.txt", merges_text(merges));
  engine::tokenizer t = engine::load_tokenizer(folder.path());
  CHECK(t.encode("ab<|endoftext|>") == ids{257, 258});
  t.in_text = engine::special_tokens::plain;
  CHECK(t.encode("<|endoftext|>").size() == 12);  // 13 characters, of which "<|" are one token
  put(folder / "added_tokens.json", R"({"  ": 259, "<pad>": 260})");
  t = engine::load_tokenizer(folder.path());
  CHECK(t.size() == 261);
  CHECK(t.encode("a  b<pad>") == ids{byte_token('a'), 259, byte_token('b'), 260});
  CHECK(t.decode(ids{259, 260}) == "  <pad>");
  put(folder / "tokenizer_config.json", R"({"add_prefix_space": true})");
  t = engine::load_tokenizer(folder.path());
  CHECK(t.encode("a") == ids{byte_token(' '), byte_token('a')});
  CHECK(t.encode("a", start::middle) == ids{byte_token('a')});
  CHECK(t.encode(" a") == ids{byte_token(' '), byte_token('a')});
}
