#include "catch.hpp"

#include <train/byte_pairs.hpp>
#include <train/world.hpp>

#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/error.hpp>

#include <string>
#include <utility>
#include <vector>

using train::byte_pairs;
using train::learn_byte_pairs;
using merges = std::vector<std::pair<std::string, std::string>>;

TEST_CASE("byte pairs of 'aab aab ab'", "[train][byte_pairs][worked-example]") {
  // Words: "aab" 1, " aab" 1, " ab" 1. Pairs: (a,b) 3; (a,a) 2; (_,a) 2.  -> ab
  // Now a+ab 1, _+a 1, a+ab 1 more, _+ab 1: (a,ab) 2 is the only pair that occurs twice. -> aab
  // aab | _ aab | _ ab: (_,aab) 1, (_,ab) 1: nothing occurs twice.
  const byte_pairs learned = learn_byte_pairs("aab aab ab", 300);
  CHECK(learned.merges == merges{{"a", "b"}, {"a", "ab"}});
  CHECK(learned.size() == 259);
  CHECK(learned.merges_txt() == "#version: 0.2\na b\na ab\n");
}

TEST_CASE("equally frequent pairs are merged in the order of their bytes", "[train][byte_pairs][worked-example]") {
  // Words "xy", " xy", " ba", " ba": (x,y) 2, (b,a) 2, (_,b) 2, (_,x) 1. The first byte decides: blank, b, x.
  // After (_,b): (_b,a) 2 and (x,y) 2; a blank comes before x.
  CHECK(learn_byte_pairs("xy xy ba ba", 300).merges == merges{{" ", "b"}, {" b", "a"}, {"x", "y"}});
}

TEST_CASE("a learned vocabulary has the requested size, and the loader reads it", "[train][byte_pairs][property]") {
  const std::string text = train::text_of(train::make_world(3), train::text_kind::training, 100'000);
  const std::size_t size = GENERATE(257u, 300u, 600u);
  const byte_pairs learned = learn_byte_pairs(text, size);
  CHECK(learned.size() == size);
  const engine::tokenizer loaded = engine::byte_bpe(learned.vocab_json(), learned.merges_txt());
  CHECK(loaded.size() == size);
  CHECK(loaded.text_of(static_cast<precis::token>(size - 1)) == "<|endoftext|>");
  CHECK(loaded.text_of(0) == "!");
  for (std::size_t i = 0; i < learned.merges.size(); ++i)
    CHECK(loaded.text_of(static_cast<precis::token>(256 + i)) == learned.merges[i].first + learned.merges[i].second);
}

TEST_CASE("encoding and decoding with a learned vocabulary returns the text", "[train][byte_pairs][property]") {
  const std::string learned_from = train::text_of(train::make_world(3), train::text_kind::training, 50'000);
  const byte_pairs learned = learn_byte_pairs(learned_from, 500);
  const engine::tokenizer tokens(engine::byte_bpe(learned.vocab_json(), learned.merges_txt()));
  std::string every_byte;
  for (int b = 0; b < 256; ++b) every_byte += static_cast<char>(b);
  for (const std::string& text : {learned_from, every_byte, std::string("na\xC3\xAFve \xE2\x82\xAC 12\n\n  x")})
    CHECK(tokens.decode(tokens.encode(text)) == text);
  // The vocabulary was learned from this text: it needs fewer than half as many tokens as bytes.
  CHECK(tokens.encode(learned_from).size() * 2 < learned_from.size());
}

TEST_CASE("a vocabulary too small for all bytes is refused", "[train][byte_pairs][refusal]") {
  CHECK_THROWS_WITH(learn_byte_pairs("a", 256), ContainsSubstring("256 tokens") && ContainsSubstring("at least 257"));
}
