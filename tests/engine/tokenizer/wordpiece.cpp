#include <engine/model_files/load.hpp>
#include <engine/tokenizer/tokenizer.hpp>
#include <engine/tokenizer/unicode.hpp>

#include "catch.hpp"
#include "engine/support.hpp"
#include "refusal.hpp"

#include <string>
#include <vector>

using namespace support;
using engine::character_class;
using engine::start;
using engine::token_span;
using engine::wordpiece;

namespace {

const std::string vocabulary = "[UNK]\n[CLS]\n[SEP]\nplay\n##ing\n##s\nun\n##play\n!\ncaf\xc3\xa9\ncafe\n";

std::vector<precis::token> ids(const wordpiece& t, std::string_view text) {
  std::vector<precis::token> found;
  for (const token_span& s : t.encode_with_offsets(text, start::middle)) found.push_back(s.id);
  return found;
}

}  // namespace

TEST_CASE("WordPiece: the longest piece first; a word with an unmatched rest is unknown",
          "[engine][wordpiece][worked-example]") {
  const wordpiece t(vocabulary);
  CHECK(ids(t, "Playing unplays!") == std::vector<precis::token>{3, 4, 6, 7, 5, 8});
  CHECK(ids(t, "player play") == std::vector<precis::token>{0, 3});
  CHECK(ids(t, "ing") == std::vector<precis::token>{0});  // ##ing cannot begin a word
  CHECK(ids(t, "caf\xc3\xa9") == std::vector<precis::token>{10});
  CHECK(ids(wordpiece(vocabulary, wordpiece::letters::cased), "caf\xc3\xa9 Play") == std::vector<precis::token>{9, 0});
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
  const auto refused = [](std::string_view text) {
    return refusal([&] { (void)wordpiece(text, wordpiece::letters::uncased, "v"); });
  };
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
  CHECK_THAT(refusal([&] { (void)ids_with(R"({"strip_accents": false})"); }), ContainsSubstring("\"strip_accents\""));
  CHECK_THAT(refusal([&] { (void)ids_with(R"({"tokenize_chinese_chars": false})"); }),
             ContainsSubstring("\"tokenize_chinese_chars\" is false"));
  CHECK_THAT(refusal([&] { (void)ids_with("[]"); }), ContainsSubstring("an array"));
}

TEST_CASE("characters have their Unicode classes, and fold to lower case without accents",
          "[engine][wordpiece][worked-example]") {
  using enum character_class;
  const std::pair<char32_t, character_class> classes[] = {
      {'a', other},          {'Z', other},     {'5', other},     {'$', punctuation}, {'`', punctuation},
      {'\n', blank},         {'\v', control},  {0x7F, control},  {0xA0, blank},      {0xA1, punctuation},
      {0xD7, other},         {0xAD, control},  {0x301, mark},    {0x2003, blank},    {0x2028, blank},
      {0x3002, punctuation}, {0x4E2D, other},  {0x378, control}, {0xE000, control},  {0x10FFFF, control},
      {0x1F600, other},      {0x1D165, other}, {0xE0100, mark}};
  for (const auto& [point, expected] : classes) {
    INFO(static_cast<unsigned>(point));
    CHECK(engine::class_of(point) == expected);
  }
  const auto folded = [](char32_t point) {
    const engine::folded f = engine::fold(point);
    return std::u32string(f.points, f.count);
  };
  CHECK(folded('A') == U"a");
  CHECK(folded('[') == U"[");
  CHECK(folded(0x130) == U"i");        // I with a dot
  CHECK(folded(0x1EC7) == U"e");       // e with circumflex and dot below: two decomposition steps
  CHECK(folded(0x3A3) == U"\u03c3");   // capital sigma, independent of its position
  CHECK(folded(0x1E9E) == U"\u00df");  // sharp s
  CHECK(folded(0x301).empty());
  CHECK(folded(0xAC00) == U"\u1100\u1161");        // a Hangul syllable of two letters
  CHECK(folded(0xD55C) == U"\u1112\u1161\u11ab");  // a Hangul syllable of three letters
  CHECK(folded(0xF900) == U"\u8c48");              // a compatibility ideograph
  CHECK(folded(0x1F82) == U"\u03b1");              // alpha with three marks
  CHECK(folded(0x1D160).size() == 3);              // a musical symbol of three parts
  CHECK(engine::is_ideograph(0x4E2D));
  CHECK_FALSE(engine::is_ideograph(0x3042));  // Hiragana is written in words
}
