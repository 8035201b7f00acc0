#include <engine/tokenizer/sentencepiece.hpp>

#include "engine/support.hpp"
#include "refusal.hpp"
#include "shared.hpp"

#include "catch.hpp"

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace support;
using engine::start;

namespace {

using ids = std::vector<precis::token>;

std::string number(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string field(unsigned tag, std::uint64_t value) { return number(tag << 3) + number(value); }
std::string field(unsigned tag, std::string_view bytes) {
  return number(tag << 3 | 2) + number(bytes.size()) + std::string(bytes);
}
std::string piece(std::string_view name, float score, unsigned type = 1) {
  return field(1, field(1, name) + number(2 << 3 | 5) + raw(score) + field(3, type));
}
/// Unigram 1, BPE 2.
std::string trainer(unsigned type, bool bytes = false) { return field(2, field(3, type) + field(35, bytes)); }
std::string normalizer(bool prefix, bool remove) { return field(3, field(3, prefix) + field(4, remove)); }

const std::string special = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3);
const std::string mark = "\u2581";

engine::tokenizer read(const std::string& model) { return engine::parse_sentencepiece(model, "m"); }

}  // namespace

TEST_CASE("SentencePiece BPE: scores, user-defined pieces, blanks", "[engine][tokenizer][worked-example]") {
  // 3 "_", 4 a, 5 b, 6 ab, 7 _a, 8 ba; 9 is user-defined.
  const std::string pieces = special + piece(mark, -9) + piece("a", -8) + piece("b", -7) + piece("ab", -1) +
                             piece(mark + "a", -2) + piece("ba", -1) + piece("bx", 0, 4);
  const engine::tokenizer t = read(pieces + trainer(2) + normalizer(true, false));
  CHECK(t.size() == 10);
  CHECK(t.encode("ab") == ids{3, 6});  // (a b) with -1 before (_ a) with -2
  CHECK(t.encode("a") == ids{7});
  CHECK(t.encode("aba", start::middle) == ids{6, 4});  // two pairs with -1: the left one
  CHECK(t.encode(" a") == ids{3, 7});                  // blanks are kept
  CHECK(t.encode(mark + "a") == ids{3, 7});            // a literal U+2581 is a blank
  CHECK(t.encode("abxab") == ids{7, 9, 6});            // no merge across a user-defined piece
  CHECK(t.encode("yza") == ids{3, 0, 4});              // adjacent unknown characters are one piece
  CHECK(t.encode("b<s>", start::middle) == ids{5, 1});
  CHECK(t.decode(ids{7, 6}) == "aab");
  CHECK(t.decode(ids{3, 7}) == " a");
  const engine::tokenizer tidy = read(pieces + trainer(2) + normalizer(true, true));
  CHECK(tidy.encode("  a  b ") == ids{7, 3, 5});  // no blanks at the ends, and one between words
  CHECK(tidy.encode("   ").empty());
  CHECK(read(pieces + trainer(2) + normalizer(false, false)).encode("a") == ids{4});
}

TEST_CASE("SentencePiece: bytes of unknown characters", "[engine][tokenizer][worked-example]") {
  std::string pieces = special;
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (unsigned b = 0; b < 256; ++b) pieces += piece(std::string("<0x") + digits[b >> 4] + digits[b & 15] + ">", 0, 6);
  pieces += piece(mark, -1) + piece("a", -1);
  for (const unsigned type : {1u, 2u}) {
    const engine::tokenizer t = read(pieces + trainer(type, true) + normalizer(false, false));
    CHECK(t.encode("a\u00e9\xFF") == ids{260, 3 + 0xC3, 3 + 0xA9, 3 + 0xFF});
    CHECK(t.decode(t.encode("a \u00e9\xFF")) == "a \u00e9\xFF");
    CHECK(t.encode("<0x41>").size() == 6);  // the name of a byte is plain text
  }
  CHECK_THAT(refusal([&] { (void)read(special + trainer(2, true)); }), ContainsSubstring("token \"<0x00>\" is not in"));
}

TEST_CASE("SentencePiece Unigram: the best segmentation", "[engine][tokenizer][worked-example]") {
  // 3 _, 4 a, 5 b, 6 ab, 7 _ab. _ab + a: -3 - 2 = -5; _ + ab + a: -1 - 3 - 2 = -6.
  const std::string pieces =
      special + piece(mark, -1) + piece("a", -2) + piece("b", -2) + piece("ab", -3) + piece(mark + "ab", -3);
  const engine::tokenizer t = read(pieces + trainer(1) + normalizer(true, true));
  CHECK(t.encode("aba") == ids{7, 4});
  CHECK(t.encode("xya") == ids{3, 0, 4});
  CHECK(t.encode("\xFF") == ids{3, 0});  // read as U+FFFD
  CHECK(t.decode(ids{7, 4}) == "aba");
}

TEST_CASE("SentencePiece: unsupported and damaged models are refused by cause", "[engine][tokenizer][refusal]") {
  const std::string good = special + piece("a", -1) + trainer(2);
  const auto bad = [](const std::string& model) { return refusal([&] { (void)read(model); }); };
  CHECK(bad(good).empty());
  CHECK_THAT(bad(""), ContainsSubstring("m: no pieces"));
  CHECK_THAT(bad(piece("a", 0)), ContainsSubstring("no unknown piece"));
  CHECK_THAT(bad(special + trainer(3)), ContainsSubstring("a model of words or characters"));
  CHECK_THAT(bad(good + piece("a", -1)), ContainsSubstring("\"a\" occurs twice"));
  CHECK_THAT(bad(good + piece("b", -1, 7)), ContainsSubstring("piece 4 is of type 7"));
  CHECK_THAT(bad(good + piece("", -1)), ContainsSubstring("piece 4 is empty"));
  CHECK_THAT(bad(good + piece("\xFF", -1)), ContainsSubstring("piece 4 is not UTF-8"));
  CHECK_THAT(bad(good + field(2, field(24, 1))), ContainsSubstring("treat_whitespace_as_suffix"));
  CHECK_THAT(bad(good + field(3, field(5, std::uint64_t{0}))), ContainsSubstring("escape_whitespaces"));
  CHECK_THAT(bad(good + field(3, field(2, "abc"))), ContainsSubstring("a precompiled character map"));
  CHECK_THAT(bad(good + field(5, field(2, "abc"))), ContainsSubstring("replacements after decoding"));
  CHECK_THAT(bad(good + piece("b", 0) + piece("ab", 0, 5)), ContainsSubstring("the unused piece \"ab\""));
  CHECK_THAT(bad(good + "\x0F"), ContainsSubstring("a field of type 7"));
  CHECK_THAT(bad(good + std::string("\x02", 1) + "x"), ContainsSubstring("a field number that does not exist"));
  CHECK_THAT(bad(good + field(9, 1).substr(0, 1)), ContainsSubstring("ends inside a field"));
  CHECK_THAT(bad(good + "\x48" + std::string(11, '\x80')), ContainsSubstring("more than ten bytes"));
}

TEST_CASE("SentencePiece models of families encode plain text like their tokenizer.json",
          "[engine][tokenizer][oracle]") {
  // The two differ by design in leading blanks and around added tokens, which these texts do not have.
  for (const char* const family : {"gemma2", "gemma3_text", "gemma4_text", "mistral", "mixtral"}) {
    const auto folder = shared_path(std::string("golden/families/") + family);
    if (!folder) return;
    const engine::tokenizer json = engine::load_tokenizer(*folder),
                            model = engine::parse_sentencepiece(slurp(*folder / "tokenizer.model"), "m");
    for (const char* const text :
         {"Hello, world!", "the quick  brown fox\njumps", "na\u00efve caf\u00e9 \u4e2d\u6587 \U0001F642 12345", "a"})
      CHECK(model.encode(text, start::text) == json.encode(text, start::text));
  }
}
