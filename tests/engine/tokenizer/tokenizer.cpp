#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <engine/tokenizer/utf8.hpp>
#include <engine/tokenizer/words.hpp>
#include <precis/core/random.hpp>

#include <nlohmann/json.hpp>

#include "engine/support.hpp"
#include "engine/tokenizers.hpp"
#include "refusal.hpp"
#include "shared.hpp"

#include "catch.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

using namespace support;
using engine::token_span;

namespace {

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> all;
  for (const std::string_view w : engine::gpt2_words(text)) all.emplace_back(w);
  return all;
}

using list = std::vector<std::string>;

/// Random bytes from a small alphabet, so that pairs are frequent.
std::string noise(std::size_t bytes, std::uint64_t seed, std::string_view alphabet) {
  const precis::random_stream random(seed, precis::purpose("tokenizer-test"));
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += alphabet[random.below(i, alphabet.size())];
  return text;
}

/// BPE as in its paper: find the pair with the lowest rank, merge it everywhere from left to right, repeat.
std::vector<std::string> naive_bpe(std::vector<std::string> parts,
                                   const std::vector<std::pair<std::string, std::string>>& merges) {
  for (;;) {
    std::size_t best = merges.size();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
      for (std::size_t m = 0; m < best; ++m)
        if (merges[m].first == parts[i] && merges[m].second == parts[i + 1]) best = m;
    if (best == merges.size()) return parts;
    std::vector<std::string> joined;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (i + 1 < parts.size() && parts[i] == merges[best].first && parts[i + 1] == merges[best].second) {
        joined.push_back(parts[i] + parts[i + 1]);
        ++i;
      } else {
        joined.push_back(parts[i]);
      }
    }
    parts = std::move(joined);
  }
}

/// Checks that spans are contiguous and cover the text, and that each token's bytes equal those of its span.
void check_cover(const engine::tokenizer& t, std::string_view text, const std::vector<token_span>& spans) {
  std::size_t at = 0;
  bool same = true;
  for (const token_span& s : spans) {
    same = same && s.first_byte == at && t.text_of(s.id) == text.substr(s.first_byte, s.end_byte - s.first_byte);
    at = s.end_byte;
  }
  CHECK(same);
  CHECK(at == text.size());
}

}  // namespace

TEST_CASE("utf8_length accepts only valid characters", "[engine][tokenizer][worked-example]") {
  for (const std::string_view good :
       {"a", "\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    CHECK(engine::utf8_length(good, 0) == good.size());
  for (const std::string_view bad : {"\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82",
                                     "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"})
    CHECK(engine::utf8_length(bad, 0) == 0);
  CHECK(engine::utf8_decode("\xF0\x9F\x99\x82", 0, 4) == 0x1F642);
  CHECK(engine::utf8_encode(0x120) == "\xC4\xA0");
}

TEST_CASE("gpt2_words follows GPT-2's pattern", "[engine][tokenizer][worked-example]") {
  CHECK(words("It's they'd've 12ab!? x") == list{"It", "'s", " they", "'d", "'ve", " 12", "ab", "!?", " x"});
  CHECK(words("a  b   ") == list{"a", " ", " b", "   "});  // the last blank before a word belongs to the word
  CHECK(words("a\n\nb") == list{"a", "\n", "\n", "b"});
  CHECK(words(" 'S") == list{" '", "S"});  // only lowercase contractions match
  CHECK(words("na\xC3\xAFve \xD9\xA3\xD9\xA4") == list{"na\xC3\xAFve", " \xD9\xA3\xD9\xA4"});  // letters, Arabic digits
  CHECK(words("e\xCC\x81") == list{"e", "\xCC\x81"});  // a combining mark is not a letter
  CHECK(words("a\xC2\xA0\xE3\x80\x80 b") == list{"a", "\xC2\xA0\xE3\x80\x80", " b"});  // all of these are white space
  CHECK(words("a\xC2\x85") == list{"a", "\xC2\x85"});
  CHECK(words("!\xE1\xA0\x8E!") == list{"!\xE1\xA0\x8E!"});  // U+180E is not white space in Unicode
  CHECK(words("!\x1C!") == list{"!\x1C!"});                  // U+001C is not either
  CHECK(words("").empty());
  CHECK(words(std::string_view("a\0b", 3)) == list{"a", std::string(1, '\0'), "b"});
}

TEST_CASE("gpt2_words separates bytes that are not valid UTF-8", "[engine][tokenizer][worked-example]") {
  CHECK(words("ab\xFF\xC3(c") == list{"ab", "\xFF\xC3", "(", "c"});
  CHECK(words("x \xE2\x82") == list{"x", " ", "\xE2\x82"});
}

TEST_CASE("byte_bpe merges in the order of merges.txt", "[engine][tokenizer][worked-example]") {
  const engine::tokenizer t = byte_tokenizer({{"a", "b"}, {"ab", "c"}, {"b", "c"}});
  CHECK(t.size() == 259);
  // abc: (a b) first, then (ab c). bbc: b, (b c). cab: c, (a b).
  CHECK(t.encode("abc") == std::vector<precis::token>{257});
  CHECK(t.encode("bbc") == std::vector<precis::token>{byte_token('b'), 258});
  CHECK(t.encode("cab") == std::vector<precis::token>{byte_token('c'), 256});
  CHECK(t.encode_with_offsets("cab abc") ==
        std::vector<token_span>{{byte_token('c'), 0, 1}, {256, 1, 3}, {byte_token(' '), 3, 4}, {257, 4, 7}});
  CHECK(t.decode(std::vector<precis::token>{257, 258}) == "abcbc");
  CHECK(t.text_of(256) == "ab");
  CHECK_THAT(refusal([&] { (void)t.text_of(259); }), ContainsSubstring("token 259; expected 0 to 258"));
  CHECK_THAT(refusal([&] { (void)t.decode(std::vector<precis::token>{-1}); }), ContainsSubstring("token -1"));
}

TEST_CASE("byte_bpe: decoding returns all bytes, and spans cover them", "[engine][tokenizer][property]") {
  const engine::tokenizer t = byte_tokenizer({{"a", "b"}, {"ab", "ab"}});
  std::string every;
  for (int b = 0; b < 256; ++b) every += static_cast<char>(b);
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const std::string text =
        noise(200, seed, seed % 2 == 0 ? std::string_view(every) : std::string_view("ab \xC3\xAF\n'"));
    const std::vector<token_span> spans = t.encode_with_offsets(text);
    check_cover(t, text, spans);
    CHECK(t.decode(t.encode(text)) == text);
  }
}

TEST_CASE("byte_bpe agrees with the paper's algorithm", "[engine][tokenizer][oracle]") {
  const precis::random_stream random(7, precis::purpose("tokenizer-test"));
  std::uint64_t draw = 0;
  for (int round = 0; round < 20; ++round) {
    // A vocabulary in a possible order of learning: every merge combines two existing tokens.
    std::vector<std::string> known{"a", "b", "c"};
    std::vector<std::pair<std::string, std::string>> merges;
    while (merges.size() < 12) {
      const std::string left = known[random.below(draw++, known.size())],
                        right = known[random.below(draw++, known.size())];
      if (left.size() + right.size() > 12 || std::ranges::find(known, left + right) != known.end()) continue;
      merges.emplace_back(left, right);
      known.push_back(left + right);
    }
    const engine::tokenizer t = byte_tokenizer(merges);
    const std::string text = noise(60, static_cast<std::uint64_t>(round), "abc");
    std::vector<std::string> parts, got;
    for (const char c : text) parts.emplace_back(1, c);
    for (const precis::token id : t.encode(text)) got.push_back(t.text_of(id));
    CHECK(got == naive_bpe(parts, merges));
  }
}

TEST_CASE("byte_bpe is fast on a single long word", "[engine][tokenizer][property]") {
  // A quadratic algorithm would need 10^10 steps here.
  const engine::tokenizer t = byte_tokenizer({{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}});
  CHECK(t.encode(std::string(200'000, 'a')).size() == 25'000);
  CHECK(t.encode(std::string(200'003, 'a')).size() == 25'002);  // ... aa a
  CHECK(t.encode(std::string(200'000, ' ') + "x").size() == 200'001);
  CHECK(t.encode(std::string(200'000, '\xFF')).size() == 200'000);
}

TEST_CASE("byte_bpe refuses invalid files by cause", "[engine][tokenizer][refusal]") {
  const std::string vocab = vocabulary_json({{"a", "b"}});
  const auto bad = [&](const std::string& v, const std::string& m) {
    return refusal([&] { (void)engine::byte_bpe(v, m); });
  };
  CHECK(bad(vocab, "#version: 0.2\na b\n").empty());
  CHECK(bad(vocab, "a b\r\n\r\n").empty());
  CHECK_THAT(bad("[1]", ""), ContainsSubstring("vocab.json: an array"));
  CHECK_THAT(bad("{}", ""), ContainsSubstring("an object of tokens"));
  CHECK_THAT(bad("{\"a\":0", ""), ContainsSubstring("vocab.json: not valid JSON"));
  CHECK_THAT(bad("{\"a\":0,\"a\":1}", ""), ContainsSubstring("\"a\" occurs twice"));
  CHECK_THAT(bad("{\"a\":\"x\"}", ""), ContainsSubstring("token \"a\" has the string \"x\""));
  CHECK_THAT(bad("{\"a\":-1}", ""), ContainsSubstring("the number -1"));
  CHECK_THAT(bad("{\"a\":0,\"b\":7}", ""), ContainsSubstring("the number 7 as its id; expected 0 to 1"));
  CHECK_THAT(bad("{\"a\":0,\"b\":0}", ""), ContainsSubstring("id 0 has two tokens"));
  CHECK_THAT(bad("{\"a\":0}", ""), ContainsSubstring("byte 0 has no token"));
  CHECK_THAT(bad(vocab, "a b\nab\n"), ContainsSubstring("merges.txt: line 2: \"ab\""));
  CHECK_THAT(bad(vocab, "a b c\n"), ContainsSubstring("two tokens separated by one blank"));
  CHECK_THAT(bad(vocab, " b\n"), ContainsSubstring("line 1"));
  CHECK_THAT(bad(vocab, "a xyz\n"), ContainsSubstring("\"xyz\" is not in the vocabulary"));
  CHECK_THAT(bad(vocab, "b a\n"), ContainsSubstring("\"ba\" is not in the vocabulary"));
  CHECK_THAT(bad(vocab, "a b\na b\n"), ContainsSubstring("merge 2") && ContainsSubstring("occurs twice"));
}

TEST_CASE("score_bpe merges the best score first and encodes unknown characters as bytes",
          "[engine][tokenizer][worked-example]") {
  // Pieces: 259 " ", 260 "a", 261 "b", 262 "ab" (-1), 263 " a" (-2), 264 "ba" (-1).
  const engine::tokenizer t = score_tokenizer({{" ", 0}, {"a", 0}, {"b", 0}, {"ab", -1}, {" a", -2}, {"ba", -1}});
  using ids = std::vector<precis::token>;
  CHECK(t.encode("") == ids{1});
  CHECK(t.encode("a") == ids{1, 263});
  CHECK(t.encode("ab") == ids{1, 259, 262});                       // (a b) with -1 before (blank a) with -2
  CHECK(t.encode("aba", engine::start::middle) == ids{262, 260});  // two pairs with -1: the left one
  CHECK(t.encode("b\n\xC3\xA9") == ids{1, 259, 261, 13, 0xC3 + 3, 0xA9 + 3});
  CHECK(t.encode_with_offsets("ab \xC3\xA9") ==
        std::vector<token_span>{{1, 0, 0}, {259, 0, 0}, {262, 0, 2}, {259, 2, 3}, {0xC3 + 3, 3, 4}, {0xA9 + 3, 4, 5}});
  CHECK(t.decode(t.encode("a b\n\xC3\xA9\xFF")) == "a b\n\xC3\xA9\xFF");
  CHECK(t.encode("<s>").front() == 1);
  CHECK(t.encode("<s>").size() == 5);  // BOS, blank, and three characters: no control token
  const engine::tokenizer copy = t;    // a copy is independent
  CHECK(copy.encode("ab") == ids{1, 259, 262});
}

TEST_CASE("score_bpe refuses an invalid file by cause", "[engine][tokenizer][refusal]") {
  const std::string good = score_file({{" ", 0}, {"a", 0}});
  const auto bad = [](const std::string& file) {
    return refusal([&] { (void)engine::score_bpe(as_bytes(file), "tok"); });
  };
  CHECK(bad(good).empty());
  for (std::size_t n = 0; n < good.size(); ++n) {
    // Only a file that ends between two pieces is accepted: here, one without its last one or two pieces.
    const std::string message = bad(good.substr(0, n));
    if (n != good.size() - 9 && n != good.size() - 18) CHECK_THAT(message, ContainsSubstring("tok: "));
  }
  CHECK_THAT(bad(good.substr(0, good.size() - 1)), ContainsSubstring("piece 260 has a length of 1"));
  CHECK_THAT(bad(score_file({{"a", std::numeric_limits<float>::quiet_NaN()}})),
             ContainsSubstring("piece 259 has a score"));
  CHECK_THAT(bad(good + raw(0.f) + raw(0xFFFF'FFFFu) + "a"), ContainsSubstring("has a length of 4294967295"));
  CHECK_THAT(bad(good + raw(0.f) + raw(9u) + "123456789"),
             ContainsSubstring("at most 6 as stated at the start of the file"));
  std::string renamed = good;
  renamed.replace(renamed.find("<0x41>"), 6, "<0x42>");
  CHECK_THAT(bad(renamed), ContainsSubstring("piece 68 is not <0x41>"));
}

TEST_CASE("tokens_covering finds the tokens of a range of text", "[engine][tokenizer][worked-example]") {
  const std::vector<token_span> spans{{1, 0, 0}, {5, 0, 3}, {6, 3, 4}, {7, 4, 9}};
  using pair = std::pair<std::size_t, std::size_t>;
  CHECK(engine::tokens_covering(spans, 0, 3) == pair{1, 2});
  CHECK(engine::tokens_covering(spans, 2, 5) == pair{1, 4});
  CHECK(engine::tokens_covering(spans, 3, 4) == pair{2, 3});
  CHECK(engine::tokens_covering(spans, 9, 12) == pair{4, 4});
}

TEST_CASE("a missing tokenizer is refused with a clear message", "[engine][tokenizer][refusal]") {
  const engine::tokenizer none;
  CHECK_FALSE(none);
  CHECK_THAT(refusal([&] { (void)none.encode("a"); }), ContainsSubstring("the model has no tokenizer"));
  CHECK_THAT(refusal([&] { (void)none.size(); }), ContainsSubstring("vocab.json and merges.txt"));
}

TEST_CASE("GPT-2 tokens equal the golden ones", "[engine][tokenizer][oracle]") {
  const auto model = shared_path("models/imdb-gpt2");
  const auto golden = shared_path("golden/imdb-gpt2/tokenizer.json");
  if (!model || !golden) return;
  const engine::tokenizer t = engine::load_tokenizer(*model);
  CHECK(t.size() == 4096);
  std::size_t cases = 0;
  for (const engine::json& c : engine::parse_json(slurp(*golden), "golden")) {
    const auto text = c["text"].get<std::string>();
    CHECK(t.encode(text) == c["ids"].get<std::vector<precis::token>>());
    CHECK(t.decode(t.encode(text)) == text);
    check_cover(t, text, t.encode_with_offsets(text));
    ++cases;
  }
  CHECK(cases == 10);
}

TEST_CASE("a whole file is encoded and decoded without loss", "[engine][tokenizer][property]") {
  const auto model = shared_path("models/imdb-gpt2");
  const auto file = shared_path("data/wikitext2-test.txt");
  if (!model || !file) return;
  const engine::tokenizer t = engine::load_tokenizer(*model);
  const std::string text = slurp(*file);
  CHECK(t.decode(t.encode(text)) == text);
}

TEST_CASE("Llama tokens equal the golden ones", "[engine][tokenizer][oracle]") {
  const auto file = shared_path("models/stories260K/tok512.bin");
  const auto golden = shared_path("golden/stories260K.json");
  if (!file || !golden) return;
  const engine::tokenizer t = engine::load_tokenizer(*file);
  CHECK(t.size() == 512);
  const engine::json root = engine::parse_json(slurp(*golden), "golden");
  REQUIRE(root["tokenizer"].size() == 4);
  for (const engine::json& c : root["tokenizer"]) {
    const auto text = c["text"].get<std::string>();
    CHECK(t.encode(text) == c["ids"].get<std::vector<precis::token>>());
    CHECK(t.decode(t.encode(text)) == text);
  }
  CHECK(t.decode(root["greedy"]["ids"].get<std::vector<precis::token>>()) == root["greedy"]["text"].get<std::string>());
}
