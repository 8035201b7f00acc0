#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/unicode.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace engine {
namespace {

/// Joins the matches and the text between them, fed in order, into parts.
class delimiter_fold {
 public:
  delimiter_fold(const piece& in, delimiter how, const piece_sink& sink) : in_(&in), how_(how), sink_(&sink) {}

  void feed(std::size_t begin, std::size_t end, bool matched) {
    const bool joined = (how_ == delimiter::contiguous && matched == before_) ||
                        (how_ == delimiter::merged_with_previous && matched && !before_) ||
                        (how_ == delimiter::merged_with_next && !matched && before_);
    before_ = matched;
    if (!joined || !held_) {
      flush();
      begin_ = begin;
    }
    end_ = end;
    held_ = !(matched && how_ == delimiter::removed);
  }
  void flush() {
    if (held_ && begin_ < end_) (*sink_)(in_->part(begin_, end_));
    held_ = false;
  }

 private:
  const piece* in_;
  delimiter how_;
  const piece_sink* sink_;
  std::size_t begin_ = 0, end_ = 0;
  bool held_ = false, before_ = false;
};

void split_by_character(const piece& in, character_test what, delimiter how, const piece_sink& sink) {
  delimiter_fold fold(in, how, sink);
  std::size_t done = 0;
  for (std::size_t at = 0; at < in.text.size();) {
    const std::size_t length = utf8_length(in.text, at), next = at + std::max<std::size_t>(length, 1);
    if (length != 0 && what(utf8_decode(in.text, at, length))) {
      if (done < at) fold.feed(done, at, false);
      fold.feed(at, next, true);
      done = next;
    }
    at = next;
  }
  if (done < in.text.size()) fold.feed(done, in.text.size(), false);
  fold.flush();
}

/// Byte -> character, and back.
struct byte_characters {
  std::array<std::string, 256> text;
  std::unordered_map<char32_t, char> byte;

  byte_characters() {
    char32_t next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      const bool visible = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const char32_t point = visible ? static_cast<char32_t>(b) : next++;
      text[b] = utf8_encode(point);
      byte.emplace(point, static_cast<char>(b));
    }
  }
};
[[nodiscard]] const byte_characters& byte_table() {
  static const byte_characters table;
  return table;
}

}  // namespace

const std::string& character_of_byte(unsigned char byte) noexcept { return byte_table().text[byte]; }

std::optional<char> byte_of_character(char32_t point) noexcept {
  const auto found = byte_table().byte.find(point);
  if (found == byte_table().byte.end()) return std::nullopt;
  return found->second;
}

pre_tokenizer split_at(pattern what, delimiter how, bool invert) {
  return [what = std::move(what), how, invert](const piece& in, const piece_sink& sink) {
    delimiter_fold fold(in, how, sink);
    what.find_all(in.text,
                  [&](std::size_t begin, std::size_t end, bool matched) { fold.feed(begin, end, matched != invert); });
    fold.flush();
  };
}

pre_tokenizer split_at(character_test what, delimiter how) {
  return [what, how](const piece& in, const piece_sink& sink) { split_by_character(in, what, how, sink); };
}

pre_tokenizer byte_level(bool prefix, bool gpt2_words) {
  return [prefix, gpt2_words](const piece& in, const piece_sink& sink) {
    aligned_text prefixed, mapped;
    piece now = in;
    if (prefix && !in.continues && !in.text.starts_with(' ')) {
      prefixed.add(" ", in.range(0, 0));
      prefixed.copy(in, 0, in.text.size());
      now = prefixed.view(false);
    }
    const auto emit = [&](std::size_t begin, std::size_t end, bool) {
      mapped.clear();
      for (std::size_t i = begin; i < end; ++i)
        mapped.add(character_of_byte(static_cast<unsigned char>(now.text[i])), now.range(i, i + 1));
      sink(mapped.view(in.continues && begin == 0));
    };
    if (gpt2_words)
      gpt2_pattern().find_all(now.text, emit);
    else
      emit(0, now.text.size(), false);
  };
}

pre_tokenizer metaspace(std::string replacement, metaspace_prefix prefix, bool split) {
  const pattern mark(pattern::kind::literal, replacement, "Metaspace");
  return [=, replacement = std::move(replacement)](const piece& in, const piece_sink& sink) {
    aligned_text to;
    const bool begins = in.text.starts_with(' ') || in.text.starts_with(replacement);
    const bool wanted =
        prefix == metaspace_prefix::always || (prefix == metaspace_prefix::first && in.range(0, 0).begin == 0);
    if (wanted && !begins && !in.continues) to.add(replacement, in.range(0, 0));
    for (std::size_t i = 0; i < in.text.size(); ++i) {
      if (in.text[i] == ' ')
        to.add(replacement, in.range(i, i + 1));
      else
        to.copy(in, i, i + 1);
    }
    const piece now = to.view(in.continues);
    if (!split) return sink(now);
    delimiter_fold fold(now, delimiter::merged_with_next, sink);
    mark.find_all(now.text, [&](std::size_t begin, std::size_t end, bool matched) { fold.feed(begin, end, matched); });
    fold.flush();
  };
}

pre_tokenizer bert_words() {
  return in_order({split_at(is_white_space, delimiter::removed), split_at(is_punctuation, delimiter::isolated)});
}

pre_tokenizer word_runs() {
  return [](const piece& in, const piece_sink& sink) {
    enum { blank, word, other } run = blank;
    std::size_t begin = 0;
    for (std::size_t at = 0; at < in.text.size();) {
      const std::size_t length = utf8_length(in.text, at);
      auto kind = other;
      if (length != 0) {
        const char32_t point = utf8_decode(in.text, at, length);
        kind = is_word_character(point) ? word : is_white_space(point) ? blank : other;
      }
      if (kind != run) {
        if (run != blank) sink(in.part(begin, at));
        begin = at;
        run = kind;
      }
      at += std::max<std::size_t>(length, 1);
    }
    if (run != blank) sink(in.part(begin, in.text.size()));
  };
}

namespace {

void run_from(const std::vector<pre_tokenizer>& stages, std::size_t i, const piece& in, const piece_sink& sink) {
  if (i == stages.size()) return sink(in);
  stages[i](in, [&, i](const piece& p) { run_from(stages, i + 1, p, sink); });
}

}  // namespace

pre_tokenizer in_order(std::vector<pre_tokenizer> stages) {
  if (stages.size() == 1) return std::move(stages.front());
  return [stages = std::move(stages)](const piece& in, const piece_sink& sink) { run_from(stages, 0, in, sink); };
}

}  // namespace engine
