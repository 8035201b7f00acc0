#include <engine/tokenizer/gguf_vocabulary.hpp>

#include <engine/tokenizer/gguf_tokenizer.hpp>
#include <engine/tokenizer/pipeline.hpp>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "engine/gguf_files.hpp"
#include "refusal.hpp"

#include <optional>

using namespace support;
namespace fs = std::filesystem;
using engine::json;

namespace {

/// The bytes and what the merges make, as the model of a tokenizer.json.
json byte_model(const std::vector<std::pair<std::string, std::string>>& merges, bool ignore_merges = false) {
  json vocab = json::object(), list = json::array();
  for (unsigned b = 0; b < 256; ++b) vocab[engine::character_of_byte(static_cast<unsigned char>(b))] = b;
  for (const auto& [left, right] : merges) {
    vocab[left + right] = vocab.size();
    list.push_back(left + " " + right);
  }
  return {{"type", "BPE"}, {"ignore_merges", ignore_merges}, {"vocab", vocab}, {"merges", list}};
}
json split_by(const std::string& expression) {
  return {{"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}, {"invert", false}};
}
json byte_stage(bool words) { return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", words}}; }
json in_sequence(json stages) { return {{"type", "Sequence"}, {"pretokenizers", std::move(stages)}}; }

const std::string llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// What a folder with this tokenizer.json alone becomes.
struct exported {
  engine::tokenizer before, after;
  std::vector<std::string> warnings;
  std::string file;  ///< the GGUF file
  std::string pre, model;
};
exported export_json(const json& root, std::size_t rows = 0) {
  const temporary_folder folder;
  put(folder / "tokenizer.json", root.dump());
  exported out;
  out.before = engine::load_tokenizer(folder.path());
  engine::gguf_metadata keys;
  out.warnings = engine::add_gguf_tokenizer(folder.path(), out.before, {rows, {}, {}, folder.path()}, keys);
  out.file = engine::gguf_text(keys);
  out.after = engine::parse_gguf_tokenizer(as_bytes(out.file), "x.gguf");
  const engine::gguf_header h = engine::parse_gguf(as_bytes(out.file), "x.gguf");
  const engine::gguf_keys read(h, "x.gguf");
  out.pre = read.text_or("tokenizer.ggml.pre", "");
  out.model = read.text("tokenizer.ggml.model");
  return out;
}
void check_same(const exported& e, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    CAPTURE(text);
    CHECK(e.after.encode(text) == e.before.encode(text));
  }
}

}  // namespace

TEST_CASE("tokenizer.json to GGUF: the pre-tokenizer gets its name by the words that it makes",
          "[engine][tokenizer][gguf][worked-example]") {
  const std::vector<std::pair<std::string, std::string>> merges{{"a", "b"}, {"1", "2"}, {"12", "3"}, {"123", "4"}};
  const auto pre = [&](const json& stage, bool ignore_merges = false) {
    const exported e = export_json(
        {{"pre_tokenizer", stage}, {"model", byte_model(merges, ignore_merges)}, {"decoder", {{"type", "ByteLevel"}}}});
    check_same(e, {"ab 1234", "x\n\n  y", "it's IT'S", "\xC3\xA9\xE4\xB8\xAD"});
    CHECK(e.model == "gpt2");
    CHECK(e.warnings.empty());
    return e.pre;
  };
  CHECK(pre(byte_stage(true)) == "gpt-2");
  CHECK(pre(in_sequence({split_by(llama3), byte_stage(false)})) == "dbrx");
  CHECK(pre(in_sequence({split_by(llama3), byte_stage(false)}), true) == "llama-bpe");
  CHECK(pre(in_sequence({split_by(qwen2), byte_stage(false)})) == "qwen2");
  // No qwen2 that looks words up first is known; here that makes no difference, because merges reach every token.
  CHECK(pre(in_sequence({split_by(qwen2), byte_stage(false)}), true) == "qwen2");
  CHECK(pre(in_sequence({{{"type", "Digits"}, {"individual_digits", true}}, byte_stage(true)})) == "smollm");
}

TEST_CASE("tokenizer.json to GGUF: added tokens, padding, and what GGUF cannot say", "[engine][tokenizer][gguf]") {
  const json added =
      json::array({{{"id", 257}, {"content", "<s>"}, {"special", true}, {"normalized", false}},
                   {{"id", 259}, {"content", "<user>"}, {"special", false}, {"normalized", false}, {"lstrip", true}}});
  const json first = {{"type", "TemplateProcessing"},
                      {"single", json::array({{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                                              {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})},
                      {"pair", json::array({{{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                                            {{"Sequence", {{"id", "B"}, {"type_id", 0}}}}})},
                      {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {257}}, {"tokens", {"<s>"}}}}}}};
  const exported e = export_json({{"added_tokens", added},
                                  {"normalizer", {{"type", "NFC"}}},
                                  {"pre_tokenizer", byte_stage(true)},
                                  {"post_processor", first},
                                  {"model", byte_model({{"a", "b"}})},
                                  {"decoder", {{"type", "ByteLevel"}}}},
                                 264);
  check_same(e, {"ab<s>a", "x<user>y", ""});
  CHECK(e.after.encode("ab") == std::vector<precis::token>{257, 256});
  const engine::gguf_header h = engine::parse_gguf(as_bytes(e.file), "x.gguf");
  const engine::gguf_keys keys(h, "x.gguf");
  const auto types = keys.integers("tokenizer.ggml.token_type");
  REQUIRE(types.size() == 264);
  CHECK(std::vector(types.begin() + 256, types.end()) == std::vector<std::int32_t>{1, 3, 5, 4, 5, 5, 5, 5});
  CHECK(keys.texts("tokenizer.ggml.tokens")[258] == "[PAD258]");
  CHECK(keys.flag_or("tokenizer.ggml.add_bos_token", false));
  REQUIRE(e.warnings.size() == 2);
  CHECK_THAT(e.warnings[0], ContainsSubstring("llama.cpp will read some texts as other tokens"));  // NFC
  CHECK_THAT(e.warnings[1], ContainsSubstring("1 added tokens take the white space beside them"));
}

TEST_CASE("tokenizer.json to GGUF: BPE with bytes, Unigram and WordPiece", "[engine][tokenizer][gguf]") {
  json vocab = {{"<unk>", 0}};
  for (unsigned b = 0; b < 256; ++b) vocab[engine::byte_token_name(b)] = b + 1;
  for (const char* const name : {"\xE2\x96\x81", "a", "b", "c", "ab",
                                 "\xE2\x96\x81"
                                 "a",
                                 "abc", "bc"})
    vocab[name] = vocab.size();
  const auto pieces = [&](const char* merges) {
    return json{{"type", "BPE"},         {"unk_token", "<unk>"}, {"fuse_unk", true},
                {"byte_fallback", true}, {"vocab", vocab},       {"merges", engine::parse_json(merges, "test")}};
  };
  const json blanks = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\xE2\x96\x81"}};
  const json prefix = {{"type", "Prepend"}, {"prepend", "\xE2\x96\x81"}};
  const json decoder = {{"type", "ByteFallback"}};
  const char* const merges = R"(["b c", "a b", "a bc", "▁ a"])";
  for (const bool prefixed : {true, false}) {
    const json normalizer =
        prefixed ? json{{"type", "Sequence"}, {"normalizers", json::array({prefix, blanks})}} : blanks;
    const exported e = export_json(
        {{"added_tokens", json::array({{{"id", 0}, {"content", "<unk>"}, {"special", true}, {"normalized", false}}})},
         {"normalizer", normalizer},
         {"model", pieces(merges)},
         {"decoder", decoder}});
    CHECK(e.model == "llama");
    CHECK(e.warnings.empty());
    check_same(e, {"abc ab", "a a", "  b", "z", "cab\n"});
    CHECK(e.after.encode("abc").back() == 263);  // b and c first, then a
  }

  const json unigram = {{"type", "Unigram"},
                        {"unk_id", 0},
                        {"vocab", json::array({{"<unk>", 0.0},
                                               {"\xE2\x96\x81", -2.0},
                                               {"a", -3.0},
                                               {"b", -3.5},
                                               {"\xE2\x96\x81"
                                                "a",
                                                -4.0},
                                               {"ab", -5.0}})}};
  const json single_blanks = {
      {"type", "Sequence"},
      {"normalizers", json::array({{{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}},
                                   {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}}})}};
  const exported u = export_json(
      {{"normalizer", single_blanks},
       {"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "\xE2\x96\x81"}, {"prepend_scheme", "always"}}},
       {"model", unigram},
       {"decoder", {{"type", "Metaspace"}, {"replacement", "\xE2\x96\x81"}}}});
  CHECK(u.model == "t5");
  check_same(u, {"ab a", "b", "a  b"});

  const json wordpiece = {
      {"type", "WordPiece"},
      {"unk_token", "[UNK]"},
      {"continuing_subword_prefix", "##"},
      {"max_input_chars_per_word", 100},
      {"vocab", {{"[UNK]", 0}, {"hell", 1}, {"##o", 2}, {",", 3}, {"o", 4}, {"[C]", 5}, {"[S]", 6}}}};
  const json bert = {{"type", "BertNormalizer"}, {"lowercase", true}};
  json bert_file = {
      {"added_tokens", json::array({{{"id", 0}, {"content", "[UNK]"}, {"special", true}, {"normalized", false}},
                                    {{"id", 5}, {"content", "[C]"}, {"special", true}, {"normalized", false}},
                                    {{"id", 6}, {"content", "[S]"}, {"special", true}, {"normalized", false}}})},
      {"normalizer", bert},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor", {{"type", "BertProcessing"}, {"cls", {"[C]", 5}}, {"sep", {"[S]", 6}}}},
      {"model", wordpiece},
      {"decoder", {{"type", "WordPiece"}}}};
  const exported w = export_json(bert_file);
  CHECK(w.model == "bert");
  check_same(w, {"Hello, o", "hellos", "[C]o"});
  CHECK(w.after.encode("Hello, o") == std::vector<precis::token>{5, 1, 2, 3, 4, 6});
  bert_file.erase("post_processor");
  CHECK_THAT(refusal([&] { (void)export_json(bert_file); }), ContainsSubstring("such as [CLS] and [SEP]"));
}

TEST_CASE("tokenizer.json to GGUF: what no vocabulary holds is refused by name", "[engine][tokenizer][gguf][refusal]") {
  const auto refused = [](const json& root) { return refusal([&] { (void)export_json(root); }); };
  const json decoder = {{"type", "ByteLevel"}};
  CHECK_THAT(refused({{"normalizer", {{"type", "Lowercase"}}},
                      {"pre_tokenizer", byte_stage(true)},
                      {"model", byte_model({})},
                      {"decoder", decoder}}),
             ContainsSubstring("the normalizer \"Lowercase\", which GGUF's vocabularies do not have"));
  CHECK_THAT(refused({{"pre_tokenizer", in_sequence({split_by("[a-m]+"), byte_stage(false)})},
                      {"model", byte_model({})},
                      {"decoder", decoder}}),
             ContainsSubstring("a pre-tokenizer that splits texts such as \"The quick brown fox") &&
                 ContainsSubstring("expected one of default, gpt-2"));
  json prefixed = byte_stage(true);
  prefixed["add_prefix_space"] = true;
  CHECK_THAT(refused({{"pre_tokenizer", prefixed}, {"model", byte_model({})}, {"decoder", decoder}}),
             ContainsSubstring("add_prefix_space of BPE"));
  CHECK_THAT(refused({{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", json::array()}}}}),
             ContainsSubstring("BPE without bytes"));
}
