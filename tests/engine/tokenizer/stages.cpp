#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/unicode.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <precis/core/random.hpp>

#include "refusal.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace engine;

namespace {

using words = std::vector<std::string>;

std::string after(const normalizer& n, std::string_view text, bool continues = false) {
  aligned_text out;
  n({text, nullptr, 0, continues}, out);
  return out.text();
}

words parts(const pre_tokenizer& p, std::string_view text, bool continues = false) {
  words found;
  p({text, nullptr, 0, continues}, [&](const piece& part) { found.emplace_back(part.text); });
  return found;
}

pattern literal(std::string_view text) { return {pattern::kind::literal, text, "test"}; }
pattern expression(std::string_view text) { return {pattern::kind::expression, text, "test"}; }

shared_vocabulary vocabulary_of(const words& names) {
  const auto tokens = std::make_shared<vocabulary>();
  for (std::size_t id = 0; id < names.size(); ++id) tokens->add(names[id], id, names.size(), "test");
  return tokens;
}

words tokens_of(const token_model& model, std::string_view word) {
  word_cache known;
  std::vector<symbol> symbols;
  model.encode(word, known, symbols);
  words names;
  std::size_t at = 0;
  for (const symbol& s : symbols) {
    CHECK(s.begin == at);  // tokens cover the word in order
    at = s.end;
    names.push_back(model.name(s, word.substr(s.begin, s.end - s.begin)));
  }
  CHECK(at == word.size());
  return names;
}

}  // namespace

TEST_CASE("normal forms of Unicode's own examples", "[engine][tokenizer][worked-example]") {
  const auto nfc = normalize_unicode(normal_form::nfc), nfd = normalize_unicode(normal_form::nfd),
             nfkc = normalize_unicode(normal_form::nfkc), nfkd = normalize_unicode(normal_form::nfkd);
  CHECK(after(nfc, "e\u0301!") == "\u00e9!");
  CHECK(after(nfd, "\u00e9!") == "e\u0301!");
  CHECK(after(nfc, "\u1112\u1161\u11ab") == "\ud55c");  // a Hangul syllable
  CHECK(after(nfd, "\ud55c") == "\u1112\u1161\u11ab");
  CHECK(after(nfc, "\ufb01") == "\ufb01");  // a ligature is only compatible
  CHECK(after(nfkc, "\ufb01\u2460") == "fi1");
  CHECK(after(nfkc, "\uff76\uff9e") == "\u30ac");  // half-width kana and its voice mark
  CHECK(after(nfkd, "\uff76\uff9e") == "\u30ab\u3099");
  CHECK(after(nfc, "a\xFF\u0301") == "a\xFF\u0301");  // nothing combines across an invalid byte
  CHECK(after(nfc, "\u212b") == "\u00c5");            // the angstrom sign
}

TEST_CASE("normal forms: composing the decomposed text gives the composed one, for every character",
          "[engine][tokenizer][property]") {
  const auto nfc = normalize_unicode(normal_form::nfc), nfd = normalize_unicode(normal_form::nfd),
             nfkc = normalize_unicode(normal_form::nfkc), nfkd = normalize_unicode(normal_form::nfkd);
  std::size_t wrong = 0;
  for (const std::string before : {"e", "\u3042\u304b", "\u1100", "\uac00", "\u3131"})
    for (char32_t point = 0xA0; point < 0x20000; ++point) {
      if (point >= 0xD800 && point < 0xE000) continue;
      if (point == 0x3400 || point == 0xAC20) point += 0x2000;  // thousands of the same kind
      const std::string text = before + utf8_encode(point) + "\u0301";
      wrong += after(nfc, after(nfd, text)) != after(nfc, text) || after(nfkc, after(nfkd, text)) != after(nfkc, text);
    }
  CHECK(wrong == 0);
}

TEST_CASE("normalizers rewrite text", "[engine][tokenizer][worked-example]") {
  CHECK(after(lowercase(), "A\u00c9\u0130\xFF[") == "a\u00e9i\u0307\xFF[");
  CHECK(after(strip_blanks(true, true), " \u2003a b\n") == "a b");
  CHECK(after(strip_blanks(true, false), " a ") == "a ");
  CHECK(after(strip_blanks(false, true), " a ") == " a");
  CHECK(after(strip_blanks(true, true), " \t ").empty());
  CHECK(after(strip_marks(marks::all), "e\u0301\u0915\u0903") == "e\u0915");
  CHECK(after(strip_marks(marks::nonspacing), "e\u0301\u0915\u0903") == "e\u0915\u0903");
  CHECK(after(replace_pattern(literal("ab"), "X"), "abcabab") == "XcXX");
  CHECK(after(replace_pattern(expression(" {2,}"), "_"), "a  b c   d") == "a_b c_d");
  CHECK(after(prepend("_"), "a") == "_a");
  CHECK(after(prepend("_"), "a", true) == "a");  // the text continues another
  CHECK(after(prepend("_"), "").empty());
  CHECK(after(bert_normalizer({}), "\u00c9t\u00e9\t\u4e2d\u6587\u200b\xFF!") == "ete  \u4e2d  \u6587 \xFF!");
  CHECK(after(bert_normalizer({.strip_accents = false, .lowercase = false}), "\u00c9\x01") == "\u00c9");
  CHECK(after(in_order({lowercase(), replace_pattern(literal("a"), "b"), prepend("_")}), "Aa") == "_bb");
}

TEST_CASE("a normalized text remembers where each byte comes from", "[engine][tokenizer][worked-example]") {
  aligned_text out;
  in_order({normalize_unicode(normal_form::nfkc), prepend("__")})({"\ufb01x", nullptr, 10, false}, out);  // fi ligature
  const piece p = out.view(false);
  REQUIRE(p.text == "__fix");
  CHECK(p.range(0, 2).begin == 10);
  CHECK(p.range(0, 2).end == 10);  // stands for no text
  CHECK(p.range(2, 3).begin == 10);
  CHECK(p.range(2, 3).end == 13);  // f of the ligature
  CHECK(p.range(4, 5).begin == 13);
  CHECK(p.range(4, 5).end == 14);
  CHECK(p.part(4, 5).range(0, 1).begin == 13);
}

TEST_CASE("a character map replaces its keys", "[engine][tokenizer][worked-example]") {
  // A double array with the keys "A" and "AB": the root's base is 1, so 'A' (0x41) is at 1 ^ 0x41 = 0x40. Its base
  // 0x40 ^ 0x10 = 0x50 holds the value, and 'B' (0x42) is at 0x50 ^ 0x42 = 0x12, whose base is 0x12 ^ 0x71 = 0x63.
  std::vector<std::uint32_t> units(0x80);
  units[0] = 1u << 10;
  units[0x40] = 0x41u | 1u << 8 | 0x10u << 10;
  units[0x50] = 0x8000'0000u;  // the first text
  units[0x12] = 0x42u | 1u << 8 | 0x71u << 10;
  units[0x63] = 0x8000'0002u;  // the second
  std::string bytes(4, '\0');
  bytes[1] = 2;  // 0x200 bytes of units
  bytes.append(reinterpret_cast<const char*>(units.data()), 4 * units.size());
  bytes += std::string("x\0yz\0", 5);
  const auto by_grapheme = precompiled_charsmap(bytes, charsmap_match::graphemes, "test"),
             by_length = precompiled_charsmap(bytes, charsmap_match::longest, "test");
  CHECK(after(by_length, "AABCA") == "xyzCx");
  CHECK(after(by_grapheme, "AABCA") == "xxBCx");  // each grapheme by itself
  CHECK(after(by_grapheme, "A\u0301") == "x");    // a grapheme of less than 6 bytes, by the shortest key that begins it
  CHECK(after(by_grapheme, "A\u0301\u0301\u0301") == "x\u0301\u0301\u0301");  // a longer one character by character
  for (const std::size_t size : {1u, 3u, 5u, 0x1FFu})
    CHECK_THAT(refusal([&] { (void)precompiled_charsmap(bytes.substr(0, size), charsmap_match::longest, "m"); }),
               ContainsSubstring("m: a precompiled character map"));
  units[0x50] = 0x8000'0FFFu;  // outside of the texts: no replacement
  bytes.replace(4, 4 * units.size(), reinterpret_cast<const char*>(units.data()), 4 * units.size());
  CHECK(after(precompiled_charsmap(bytes, charsmap_match::longest, "test"), "A") == "A");
  CHECK(after(precompiled_charsmap("", charsmap_match::graphemes, "test"), "A") == "A");
}

TEST_CASE("what a pattern matches is removed, isolated, merged or joined", "[engine][tokenizer][worked-example]") {
  const std::string text = "the-final--countdown";  // the example of Hugging Face's documentation
  const auto by = [&](delimiter how, bool invert = false) { return parts(split_at(literal("-"), how, invert), text); };
  CHECK(by(delimiter::removed) == words{"the", "final", "countdown"});
  CHECK(by(delimiter::isolated) == words{"the", "-", "final", "-", "-", "countdown"});
  CHECK(by(delimiter::merged_with_previous) == words{"the-", "final-", "-", "countdown"});
  CHECK(by(delimiter::merged_with_next) == words{"the", "-final", "-", "-countdown"});
  CHECK(by(delimiter::contiguous) == words{"the", "-", "final", "--", "countdown"});
  CHECK(by(delimiter::removed, true) == words{"-", "-", "-"});
  CHECK(parts(split_at(expression("\\d{2}|"), delimiter::isolated, false), "a12b") == words{"a", "12", "b"});
  CHECK(parts(split_at(literal("-"), delimiter::merged_with_previous, false), "-a-") == words{"-", "a-"});
  CHECK(parts(split_at(literal("-"), delimiter::merged_with_next, false), "-a-") == words{"-a", "-"});
}

TEST_CASE("pre-tokenizers split text into words", "[engine][tokenizer][worked-example]") {
  CHECK(parts(split_at(is_number, delimiter::isolated), "a12\u00bdb") == words{"a", "1", "2", "\u00bd", "b"});
  CHECK(parts(split_at(is_number, delimiter::contiguous), "a12b") == words{"a", "12", "b"});
  CHECK(parts(bert_words(), "Hey, you! \u3000ok") == words{"Hey", ",", "you", "!", "ok"});
  CHECK(parts(word_runs(), "Hey_man,.. 5\xFF") == words{"Hey_man", ",..", "5", "\xFF"});
  CHECK(parts(byte_level(false, true), "it's \xC3\xA9\n") == words{"it", "'s", "\u0120\u00c3\u00a9", "\u010a"});
  CHECK(parts(byte_level(true, false), "a b") == words{"\u0120a\u0120b"});
  CHECK(parts(byte_level(true, false), " a") == words{"\u0120a"});
  CHECK(parts(byte_level(true, false), "a", true) == words{"a"});
  CHECK(parts(byte_level(false, true), "a\xFF") == words{"a", "\u00ff"});
  const std::string mark = "\u2581";
  CHECK(parts(metaspace(mark, metaspace_prefix::always, true), "Hey  you") == words{mark + "Hey", mark, mark + "you"});
  CHECK(parts(metaspace(mark, metaspace_prefix::always, true), " a") == words{mark + "a"});
  CHECK(parts(metaspace(mark, metaspace_prefix::never, false), "a b") == words{"a" + mark + "b"});
  CHECK(parts(metaspace(mark, metaspace_prefix::always, true), "a", true) == words{"a"});
  const auto first =
      in_order({split_at(is_white_space, delimiter::removed), metaspace(mark, metaspace_prefix::first, true)});
  CHECK(parts(first, "a b") == words{mark + "a", "b"});
}

TEST_CASE("patterns mean what Oniguruma means", "[engine][tokenizer][worked-example]") {
  const auto matches = [](std::string_view p, std::string_view text) {
    words found;
    expression(p).find_all(text, [&](std::size_t begin, std::size_t end, bool matched) {
      if (matched) found.emplace_back(text.substr(begin, end - begin));
    });
    return found;
  };
  CHECK(matches("\\s", "a\u180e\u2028b") == words{"\u2028"});  // U+180E is not white space
  CHECK(matches("[^\\S\\n]+", " \n\t") == words{" ", "\t"});
  CHECK(matches("\\w+", "a\u0301_\u2167 \u2153") == words{"a\u0301_\u2167"});
  CHECK(matches("^b", "a\nb") == words{"b"});  // ^ is the beginning of a line
  CHECK(matches("(?i:'S)", "'s") == words{"'s"});
  CHECK(matches("[\\p{Lu}\\p{M}]+", "A\u0301b") == words{"A\u0301"});
  CHECK(matches("a",
                "\xFF"
                "a\xFF") == words{"a"});
  CHECK(matches("a*", "baa") == words{"", "aa"});
  CHECK(matches("x(?=y)", "xyx") == words{"x"});
  for (const char* const unsupported : {"\\b", "\\h", "\\1", "[a[b]]", "[a&&b]", "[[:alpha:]]", "(?<name>a)", "(?m)a",
                                        "a{,3}", "a{1,2}+", "(*FAIL)", "[^\\W]"})
    CHECK_THAT(refusal([&] { (void)expression(unsupported); }), ContainsSubstring("test: \""));
  CHECK_THAT(refusal([] { (void)expression("(a"); }), ContainsSubstring("the pattern \"(a\""));
  CHECK_THAT(refusal([] { (void)expression("\\p{Nonsense}"); }), ContainsSubstring("\\p{Nonsense}"));
  CHECK_THAT(refusal([] { (void)literal(""); }), ContainsSubstring("an empty text"));
}

TEST_CASE("BPE: unknown text, bytes, whole words, prefixes and suffixes", "[engine][tokenizer][worked-example]") {
  words names{"<unk>", "a", "b", "ab", "abc", "c"};
  const merge_names merges{{"a", "b"}, {"ab", "c"}};
  const auto with = [&](const bpe_rules& rules) { return bpe_model(vocabulary_of(names), merges, rules, "test"); };
  CHECK(tokens_of(*with({.unknown = 0}), "abcxyab") == words{"abc", "<unk>", "<unk>", "ab"});
  CHECK(tokens_of(*with({.unknown = 0, .fuse_unknown = true}), "abcxyab") == words{"abc", "<unk>", "ab"});
  CHECK_THAT(refusal([&] { (void)tokens_of(*with({}), "ax"); }), ContainsSubstring("\"x\" has no token"));
  for (unsigned b = 0; b < 256; ++b) names.push_back(byte_token_name(b));
  CHECK(tokens_of(*with({.byte_fallback = true}), "a\u00e9\xFF") == words{"a", "<0xC3>", "<0xA9>", "<0xFF>"});
  names.emplace_back("bca");  // no merge makes it
  CHECK(tokens_of(*with({.ignore_merges = true}), "bca") == words{"bca"});
  CHECK(tokens_of(*with({}), "bca") == words{"b", "c", "a"});

  const words pieces{"a", "##b", "##c</w>", "a##", "ab", "##bc</w>"};
  const auto affixed =
      bpe_model(vocabulary_of(pieces), {{"##b", "##c</w>"}}, {.prefix = "##", .suffix = "</w>"}, "test");
  CHECK(tokens_of(*affixed, "abc") == words{"a", "##bc</w>"});
  CHECK_THAT(refusal([&] { (void)bpe_model(vocabulary_of({"a"}), {{"a", "b"}}, {}, "m"); }),
             ContainsSubstring("m: merge 1: \"b\" is not in the vocabulary"));
  CHECK_THAT(refusal([&] { (void)bpe_model(vocabulary_of({"a", "b"}), {{"a", "b"}}, {}, "m"); }),
             ContainsSubstring("\"ab\" is not in the vocabulary"));
  CHECK_THAT(refusal([&] { (void)bpe_model(vocabulary_of(names), {{"a", "b"}, {"a", "b"}}, {}, "m"); }),
             ContainsSubstring("occurs twice"));
}

TEST_CASE("BPE: a long text without words is encoded as a whole would be", "[engine][tokenizer][oracle]") {
  // The oracle joins the first pair of the list everywhere, from left to right, then the next, until none is left.
  const precis::random_stream random(3, precis::purpose("stages-test"));
  std::uint64_t draw = 0;
  for (int round = 0; round < 20; ++round) {
    words known{"a", "b", "c", "_"};
    merge_names merges;
    while (merges.size() < 15) {
      const std::string left = known[random.below(draw++, known.size())],
                        right = known[random.below(draw++, known.size())];
      if (left.size() + right.size() > 9 || std::ranges::find(known, left + right) != known.end()) continue;
      merges.emplace_back(left, right);
      known.push_back(left + right);
    }
    std::string text;
    for (int i = 0; i < 300; ++i) text += known[random.below(draw++, 4)];
    words expected;
    for (const char c : text) expected.emplace_back(1, c);
    for (bool changed = true; changed;) {
      changed = false;
      for (const auto& [left, right] : merges) {
        for (std::size_t i = 0; i + 1 < expected.size(); ++i)
          if (expected[i] == left && expected[i + 1] == right) {
            expected[i] += right;
            expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(i) + 1);
            changed = true;
          }
        if (changed) break;  // from the first merge again
      }
    }
    CHECK(tokens_of(*bpe_model(vocabulary_of(known), merges, {}, "test"), text) == expected);
  }
}

TEST_CASE("Unigram: the segmentation with the largest sum of scores", "[engine][tokenizer][oracle]") {
  const precis::random_stream random(5, precis::purpose("stages-test"));
  std::uint64_t draw = 0;
  for (int round = 0; round < 30; ++round) {
    words names{"<unk>", "a", "b", "c"};
    std::vector<double> scores{0, -2, -3, -2.5};
    while (names.size() < 14) {
      std::string name;
      for (std::size_t i = 2 + random.below(draw++, 3); i > 0; --i)
        name += static_cast<char>('a' + random.below(draw++, 3));
      if (std::ranges::find(names, name) != names.end()) continue;
      names.push_back(name);
      scores.push_back(-1.0 - static_cast<double>(random.below(draw++, 1000)) / 100);
    }
    unigram_pieces pieces{.scores = scores, .plain = {}, .unknown = 0, .byte_fallback = false};
    for (std::size_t i = 1; i < names.size(); ++i) pieces.plain.push_back(static_cast<precis::token>(i));
    const auto model = unigram_model(vocabulary_of(names), pieces);
    std::string text;
    for (int i = 0; i < 10; ++i) text += static_cast<char>('a' + random.below(draw++, 3));
    double best = -std::numeric_limits<double>::infinity();
    for (unsigned cuts = 0; cuts < 1u << 9; ++cuts) {  // every segmentation
      double sum = 0;
      std::string part;
      for (std::size_t i = 0; i < text.size(); ++i) {
        part += text[i];
        if (i + 1 < text.size() && (cuts >> i & 1) == 0) continue;
        const auto at = std::ranges::find(names, part);
        sum += at == names.end() ? -std::numeric_limits<double>::infinity()
                                 : scores[static_cast<std::size_t>(at - names.begin())];
        part.clear();
      }
      best = std::max(best, sum);
    }
    double found = 0;
    for (const std::string& name : tokens_of(*model, text))
      found += scores[static_cast<std::size_t>(std::ranges::find(names, name) - names.begin())];
    CHECK(found == Approx(best).epsilon(1e-12));
  }
}

TEST_CASE("Unigram: adjacent unknown characters are one token, or their bytes", "[engine][tokenizer][worked-example]") {
  words names{"<unk>", "a"};
  unigram_pieces pieces{.scores = {0, -1}, .plain = {1}, .unknown = 0, .byte_fallback = false};
  CHECK(tokens_of(*unigram_model(vocabulary_of(names), pieces), "axyaz") == words{"a", "xy", "a", "z"});
  pieces.unknown.reset();
  CHECK_THAT(refusal([&] { (void)tokens_of(*unigram_model(vocabulary_of(names), pieces), "x"); }),
             ContainsSubstring("\"x\" has no token"));
  for (const char c : std::string_view("xy")) names.push_back(byte_token_name(static_cast<unsigned char>(c)));
  pieces.scores.resize(4);
  pieces.unknown = 0;
  pieces.byte_fallback = true;
  CHECK(tokens_of(*unigram_model(vocabulary_of(names), pieces), "axyaz") == words{"a", "<0x78>", "<0x79>", "a", "z"});
}

TEST_CASE("WordPiece: the longest piece first, with the file's prefix and longest word",
          "[engine][tokenizer][worked-example]") {
  const auto tokens = vocabulary_of({"[UNK]", "un", "unplay", "##play", "@able"});
  CHECK(tokens_of(*wordpiece_model(tokens, {.unknown = 0}), "unplayplay") == words{"unplay", "##play"});
  CHECK(tokens_of(*wordpiece_model(tokens, {.unknown = 0}), "unx") == words{"[UNK]"});
  CHECK(tokens_of(*wordpiece_model(tokens, {.unknown = 0, .prefix = "@"}), "unable") == words{"un", "@able"});
  CHECK(tokens_of(*wordpiece_model(tokens, {.unknown = 0, .longest_word = 5}), "unplay") == words{"[UNK]"});
}

TEST_CASE("added tokens are found by their settings", "[engine][tokenizer][worked-example]") {
  const auto found = [](const added_token& t, std::string_view text, special_tokens how = special_tokens::parsed) {
    words all;
    token_finder({{t.content, t}})(text, how, [&](const added_token* token, std::size_t begin, std::size_t end) {
      all.push_back((token == nullptr ? "" : "*") + std::string(text.substr(begin, end - begin)));
    });
    return all;
  };
  const added_token plain{.content = "<s>"};
  CHECK(found(plain, "a <s> b<s>") == words{"a ", "*<s>", " b", "*<s>"});
  CHECK(found({.content = "<s>", .lstrip = true}, "a \t<s> b") == words{"a", "* \t<s>", " b"});
  CHECK(found({.content = "<s>", .rstrip = true}, "a <s> \u2003b") == words{"a ", "*<s> \u2003", "b"});
  CHECK(found({.content = "x", .single_word = true}, "x ax xb (x) \u00e9x") ==
        words{"*x", " ax xb (", "*x", ") \u00e9x"});
  CHECK(found({.content = "<s>", .special = true}, "a<s>", special_tokens::plain) == words{"a<s>"});
  CHECK(found(plain, "a<s>", special_tokens::plain) == words{"a", "*<s>"});  // it is not special
  CHECK(found(plain, "").empty());
  words all;
  token_finder({{"<s", plain}, {"<s>", plain}, {"s>>", plain}})(
      "<s>>", special_tokens::parsed, [&](const added_token*, std::size_t begin, std::size_t end) {
        all.emplace_back(std::string_view("<s>>").substr(begin, end - begin));
      });
  CHECK(all == words{"<s>", ">"});  // the leftmost, and of those the longest
}

TEST_CASE("decoders turn the names of tokens into text", "[engine][tokenizer][worked-example]") {
  CHECK(decode_bytes_of_characters()("\u0120\u00c3\u00a9", false) == " \u00e9");
  CHECK(decode_bytes_of_characters()("\u4e2d\u0120", false) == "\u4e2d\u0120");  // no name of bytes
  CHECK(decode_byte_tokens()("<0xfF>", false) == "\xFF");
  CHECK(decode_byte_tokens()("<0xG0>", false) == "<0xG0>");
  CHECK(decode_metaspace("_", true)("_a_", true) == "a");
  CHECK(decode_metaspace("_", true)("_a_", false) == " a ");
  CHECK(decode_metaspace("_", false)("_a", true) == " a");
  CHECK(decode_replace(literal("ab"), "c")("xab", false) == "xc");
  CHECK(decode_strip("_", 1, 2)("__a___", false) == "_a_");
  CHECK(decode_wordpiece("##", false)("##a", false) == "a");
  CHECK(decode_wordpiece("##", false)("##a", true) == "##a");
  CHECK(decode_wordpiece("##", false)("a", false) == " a");
  CHECK(decode_wordpiece("##", true)(".", false) == ".");
  CHECK(decode_wordpiece("##", true)("do not", false) == " don't");
}
