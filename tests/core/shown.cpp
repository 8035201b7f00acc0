#include <precis/core/shown.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <string>

using namespace precis;

TEST_CASE("UTF-8 characters are recognised by their bytes", "[core][shown][worked-example]") {
  CHECK(utf8_character("a", 0) == 1);
  CHECK(utf8_character("\xC3\xA9", 0) == 2);          // U+00E9
  CHECK(utf8_character("\xE2\x82\xAC", 0) == 3);      // U+20AC
  CHECK(utf8_character("\xF0\x9F\x98\x80", 0) == 4);  // U+1F600
  for (const char* none : {"\x80", "\xC3", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF"}) {
    CAPTURE(none);
    CHECK(utf8_character(none, 0) == 0);  // a continuation, cut off, overlong, a surrogate, above U+10FFFF
  }
  CHECK(utf8_character("", 0) == 0);
  CHECK(utf8_character("a", 1) == 0);
}

TEST_CASE("a name is shown without what a terminal or a reader would take for something else",
          "[core][shown][worked-example]") {
  CHECK(shown("h.3.attn.c_attn") == "h.3.attn.c_attn");
  CHECK(shown("caf\xC3\xA9") == "caf\xC3\xA9");
  CHECK(shown("a\x1B[31mred") == "a\\x1B[31mred");
  CHECK(shown(std::string_view("a\0b\n", 4)) == "a\\x00b\\x0A");
  CHECK(shown("\xC2\x9B"
              "31m") ==
        "\\xC2\\x9B"
        "31m");  // U+009B, a control character
  CHECK(shown("\xFF\x7F") == "\\xFF\\x7F");
  CHECK(shown("a\"; expected 'b\\") == "a\\\"; expected \\'b\\\\");
  CHECK(shown("") == "");
  CHECK(shown(std::string(80, 'x')) == std::string(80, 'x'));
  CHECK(shown(std::string(81, 'x')) == std::string(77, 'x') + "...");
  CHECK(shown(std::string(1000, '\x01')).size() == 79);  // 19 whole escapes of four characters
  CHECK(printable("a\"\\b\n", 80) == "a\"\\b\\x0A");
}

TEST_CASE("printable @post: UTF-8 without control characters, of at most `longest` bytes, and its own result",
          "[core][shown][property]") {
  const random_stream random(1, purpose("printable"));
  std::uint64_t draw = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text(random.below(draw++, 60), '\0');
    for (char& c : text) {  // half of the bytes ASCII, so that both kinds meet
      const auto byte = random.below(draw++, 512);
      c = static_cast<char>(byte < 256 ? byte : byte % 128);
    }
    const std::size_t longest = 10 + random.below(draw++, 60);
    const std::string once = printable(text, longest);
    CAPTURE(i, once, longest);
    REQUIRE(once.size() <= longest);
    for (std::size_t at = 0; at < once.size(); at += utf8_character(once, at)) REQUIRE(utf8_character(once, at) != 0);
    for (const char c : once) REQUIRE((static_cast<unsigned char>(c) >= 0x20 && c != 0x7F));
    REQUIRE(printable(once, longest) == once);
    REQUIRE(shown(text).size() <= 80);
  }
}
