#include <engine/tokenizer/tokenizer.hpp>
#include <engine/tokenizer/unicode.hpp>

#include "catch.hpp"
#include "engine/support.hpp"
#include "refusal.hpp"

#include <string>
#include <vector>

using namespace support;
using engine::start;
using engine::token_span;
using engine::wordpiece;

namespace {

const std::string vocabulary = "[UNK]\n[CLS]\n[SEP]\nplay\n##ing\n##s\nun\n##play\n!\ncaf\xc3\xa9\ncafe\n";

const engine::wordpiece_settings cased{.lowercase = false, .strip_accents = false};

std::vector<precis::token> ids(const engine::tokenizer& t, std::string_view text) {
  std::vector<precis::token> found;
  for (const token_span& s : t.encode_with_offsets(text, start::middle)) found.push_back(s.id);
  return found;
}

}  // namespace

TEST_CASE("WordPiece: the longest piece first; a word with an unmatched rest is unknown",
          "[engine][wordpiece][worked-example]") {
  const engine::tokenizer t = wordpiece(vocabulary);
  CHECK(ids(t, "Playing unplays!") == std::vector<precis::token>{3, 4, 6, 7, 5, 8});
  CHECK(ids(t, "player play") == std::vector<precis::token>{0, 3});
  CHECK(ids(t, "ing") == std::vector<precis::token>{0});  // ##ing cannot begin a word
  CHECK(ids(t, "caf\xc3\xa9") == std::vector<precis::token>{10});
  CHECK(ids(wordpiece(vocabulary, cased), "caf\xc3\xa9 Play") == std::vector<precis::token>{9, 0});
  CHECK(ids(t, "").empty());
  CHECK(ids(t,
            "pl\xff"
            "ay\x80") == std::vector<precis::token>{3});  // invalid UTF-8 is dropped like a control character
}

TEST_CASE("WordPiece: spans give the origin of tokens", "[engine][wordpiece][worked-example]") {
  const engine::tokenizer t = wordpiece(vocabulary);
  CHECK(t.encode_with_offsets("un play\xcc\x81ing!") ==
        std::vector<token_span>{{1, 0, 0}, {6, 0, 2}, {3, 3, 7}, {4, 9, 12}, {8, 12, 13}, {2, 13, 13}});
  CHECK(t.encode_with_offsets("xyz play", start::middle) == std::vector<token_span>{{0, 0, 3}, {3, 4, 8}});
  CHECK(t.encode("play") == std::vector<precis::token>{1, 3, 2});
  CHECK(t.size() == 11);
  CHECK(t.text_of(4) == "ing");
  CHECK(t.text_of(3) == " play");
  CHECK(t.decode(std::vector<precis::token>{3, 4, 6}) == "playing un");
  CHECK_THAT(refusal([&] { (void)t.text_of(11); }), ContainsSubstring("token 11; expected 0 to 10"));
}

TEST_CASE("WordPiece: an invalid vocabulary is refused by line", "[engine][wordpiece][refusal]") {
  const auto refused = [](std::string_view text) { return refusal([&] { (void)wordpiece(text, {}, "v"); }); };
  CHECK_THAT(refused(""), ContainsSubstring("v: no token [UNK] among 0; expected a WordPiece vocabulary"));
  CHECK_THAT(refused("[UNK]\n[SEP]\n"), ContainsSubstring("no token [CLS] among 2"));
  CHECK_THAT(refused("[UNK]\n[CLS]\n\n[SEP]\n"), ContainsSubstring("line 3 is empty"));
  CHECK_THAT(refused("[UNK]\n[CLS]\n[SEP]\na\n##a\na\n"), ContainsSubstring("line 6: \"a\" occurs twice"));
  CHECK(refused("[UNK]\r\n[CLS]\r\n[SEP]").empty());  // no newline at the end, and CRLF line ends
}

TEST_CASE("WordPiece: a folder's vocab.txt with its tokenizer_config.json", "[engine][wordpiece][source]") {
  const temporary_folder folder;
  put(folder / "vocab.txt", vocabulary);
  const auto ids_with = [&](std::string_view settings) {
    put(folder / "tokenizer_config.json", settings);
    return engine::load_tokenizer(folder.path()).encode("Play", start::middle);
  };
  CHECK(engine::load_tokenizer(folder.path()).encode("Play", start::middle) == std::vector<precis::token>{3});
  CHECK(ids_with(R"({"do_lower_case": true, "strip_accents": null})") == std::vector<precis::token>{3});
  CHECK(ids_with(R"({"do_lower_case": false})") == std::vector<precis::token>{0});
  CHECK(ids_with(R"({"tokenize_chinese_chars": false})") == std::vector<precis::token>{3});
  put(folder / "vocab.txt", vocabulary + "\xe4\xb8\xad\xe4\xb8\xad\n\xe4\xb8\xad\n");  // two ideographs; one
  const auto settings_and_text = [&](std::string_view settings, std::string_view text) {
    put(folder / "tokenizer_config.json", settings);
    return engine::load_tokenizer(folder.path()).encode(text, start::middle);
  };
  CHECK(settings_and_text("{}", "\xe4\xb8\xad\xe4\xb8\xad") == std::vector<precis::token>{12, 12});
  CHECK(settings_and_text(R"({"tokenize_chinese_chars": false})", "\xe4\xb8\xad\xe4\xb8\xad") ==
        std::vector<precis::token>{11});
  CHECK(settings_and_text(R"({"strip_accents": false})", "CAF\xc3\x89") == std::vector<precis::token>{9});
  CHECK(settings_and_text("{}", "CAF\xc3\x89") == std::vector<precis::token>{10});
  CHECK_THAT(refusal([&] { (void)ids_with("[]"); }), ContainsSubstring("an array"));
}

TEST_CASE("characters have their Unicode properties", "[engine][tokenizer][worked-example]") {
  for (const char32_t point : {U' ', U'\t', U'\v', U'\u00a0', U'\u2003', U'\u2028', U'\u0085'})
    CHECK(engine::is_white_space(point));
  for (const char32_t point : {U'a', U'\u180e', U'\u200b', char32_t{0x1C}}) CHECK_FALSE(engine::is_white_space(point));
  for (const char32_t point : {U'$', U'`', U'\u00a1', U'\u3002', U'~'}) CHECK(engine::is_punctuation(point));
  for (const char32_t point : {U'a', U'5', U'\u00d7', U'\x7f'}) CHECK_FALSE(engine::is_punctuation(point));
  for (const char32_t point : {U'5', U'\u0663', U'\u00bd', U'\u2167'}) CHECK(engine::is_number(point));
  CHECK(engine::is_mark(U'\u0301'));
  CHECK(engine::is_mark(U'\u0903'));
  CHECK_FALSE(engine::is_nonspacing_mark(U'\u0903'));  // it is spacing
  for (const char32_t point : {U'\v', U'\x7f', U'\u00ad', char32_t{0xE000}}) CHECK(engine::is_control(point));
  for (const char32_t point : {U'\n', U'\t', U'\r', U' ', U'a', char32_t{0x378}})
    CHECK_FALSE(engine::is_control(point));
  CHECK(engine::is_ideograph(0x4E2D));
  CHECK(engine::is_ideograph(0x2B920));
  CHECK_FALSE(engine::is_ideograph(0x2B91F));  // not by Hugging Face's library
  CHECK_FALSE(engine::is_ideograph(0x3042));   // Hiragana is written in words
  CHECK(engine::lower(0x130).first == 'i');    // I with a dot
  CHECK(engine::lower(0x130).second == 0x307);
  CHECK(engine::lower(0x3A3).first == 0x3C3);  // capital sigma, independent of its position
  CHECK(engine::lower(0x1E9E).first == 0xDF);  // sharp s
  CHECK(engine::lower(U'[').first == U'[');
}
