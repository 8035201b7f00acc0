#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/unicode.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <utility>

namespace engine {
namespace {

/// Calls use(point, begin, end) for each character; invalid bytes are copied.
template<class Use>
void for_each_character(const piece& in, aligned_text& out, Use&& use) {
  for (std::size_t at = 0; at < in.text.size();) {
    const std::size_t length = utf8_length(in.text, at);
    if (length == 0)
      out.copy(in, at, at + 1);
    else
      use(utf8_decode(in.text, at, length), at, at + length);
    at += std::max<std::size_t>(length, 1);
  }
}

/// Removes the characters for which drop(point) is true.
template<class Drop>
[[nodiscard]] normalizer without(Drop drop) {
  return [drop](const piece& in, aligned_text& out) {
    for_each_character(in, out, [&](char32_t point, std::size_t begin, std::size_t end) {
      if (!drop(point)) out.copy(in, begin, end);
    });
  };
}

/// Whether the normal form of a text may differ when it is cut before this character: it, or what it decomposes to, may
/// combine with what stands before it.
[[nodiscard]] bool may_combine(char32_t point, bool compatibility) noexcept {
  if (point < 0x300) return false;
  if (is_mark(point) || utf8proc_get_property(static_cast<utf8proc_int32_t>(point))->combining_class != 0) return true;
  const auto within = [point](char32_t first, char32_t last) { return first <= point && point <= last; };
  if (within(0x1160, 0x11FF) || within(0xD7B0, 0xD7FF) || within(0x16D60, 0x16D7F)) return true;  // vowels, finals
  return compatibility && (within(0x3130, 0x318F) || within(0xFF9E, 0xFFDC));
}

/// Normalizes valid UTF-8 and stores the result.
void transform(std::string_view text, utf8proc_option_t options, std::vector<utf8proc_int32_t>& points,
               std::string& to) {
  const auto* const bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto length = static_cast<utf8proc_ssize_t>(text.size());
  points.resize(4 * text.size() + 1);
  utf8proc_ssize_t count =
      utf8proc_decompose(bytes, length, points.data(), static_cast<utf8proc_ssize_t>(points.size()), options);
  if (count > static_cast<utf8proc_ssize_t>(points.size())) {
    points.resize(static_cast<std::size_t>(count));
    count = utf8proc_decompose(bytes, length, points.data(), count, options);
  }
  count = utf8proc_normalize_utf32(points.data(), count, options);
  to.clear();
  for (utf8proc_ssize_t i = 0; i < count; ++i)
    to += utf8_encode(static_cast<char32_t>(points[static_cast<std::size_t>(i)]));
}

}  // namespace

normalizer normalize_unicode(normal_form form) {
  const bool compatibility = form == normal_form::nfkc || form == normal_form::nfkd;
  const bool compose = form == normal_form::nfc || form == normal_form::nfkc;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (compatibility ? UTF8PROC_COMPAT : 0) |
                                                      (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE));
  return [=](const piece& in, aligned_text& out) {
    std::vector<utf8proc_int32_t> points;
    std::string result;
    for (std::size_t begin = 0; begin < in.text.size();) {
      std::size_t length = utf8_length(in.text, begin), end = begin + std::max<std::size_t>(length, 1);
      bool ascii = length == 1;
      while (length != 0 && end < in.text.size()) {  // up to the next character that cannot combine
        const std::size_t next = utf8_length(in.text, end);
        if (next == 0 || !may_combine(utf8_decode(in.text, end, next), compatibility)) break;
        ascii = false;
        end += next;
      }
      const std::string_view part = in.text.substr(begin, end - begin);
      if (length == 0 || ascii) {
        out.copy(in, begin, end);
      } else {
        transform(part, options, points, result);
        if (result == part)
          out.copy(in, begin, end);
        else
          out.add(result, in.range(begin, end));
      }
      begin = end;
    }
  };
}

normalizer lowercase() {
  return [](const piece& in, aligned_text& out) {
    for_each_character(in, out, [&](char32_t point, std::size_t begin, std::size_t end) {
      const lower_case l = lower(point);
      if (l.first == point) return out.copy(in, begin, end);
      out.add(utf8_encode(l.first) + (l.second == 0 ? std::string() : utf8_encode(l.second)), in.range(begin, end));
    });
  };
}

normalizer strip_marks(marks which) { return without(which == marks::all ? is_mark : is_nonspacing_mark); }

normalizer strip_blanks(bool left, bool right) {
  return [=](const piece& in, aligned_text& out) {
    std::size_t first = in.text.size(), last = 0;  // of what is not white space
    for (std::size_t at = 0; at < in.text.size();) {
      const std::size_t length = utf8_length(in.text, at), next = at + std::max<std::size_t>(length, 1);
      if (length == 0 || !is_white_space(utf8_decode(in.text, at, length))) {
        first = std::min(first, at);
        last = next;
      }
      at = next;
    }
    if (first > last) first = last = in.text.size();
    const std::size_t begin = left ? first : 0;
    out.copy(in, begin, right ? std::max(begin, last) : in.text.size());
  };
}

normalizer replace_pattern(pattern what, std::string with) {
  return [what = std::move(what), with = std::move(with)](const piece& in, aligned_text& out) {
    what.find_all(in.text, [&](std::size_t begin, std::size_t end, bool matched) {
      if (matched)
        out.add(with, in.range(begin, end));
      else
        out.copy(in, begin, end);
    });
  };
}

normalizer prepend(std::string text) {
  return [text = std::move(text)](const piece& in, aligned_text& out) {
    if (!in.text.empty() && !in.continues) out.add(text, in.range(0, 0));
    out.copy(in, 0, in.text.size());
  };
}

normalizer bert_normalizer(bert_rules rules) {
  std::vector<normalizer> stages;
  if (rules.clean_text)
    stages.emplace_back([](const piece& in, aligned_text& out) {
      for_each_character(in, out, [&](char32_t point, std::size_t begin, std::size_t end) {
        if (point == 0 || point == 0xFFFD || is_control(point)) return;
        if (is_white_space(point))
          out.add(" ", in.range(begin, end));
        else
          out.copy(in, begin, end);
      });
    });
  if (rules.space_ideographs)
    stages.emplace_back([](const piece& in, aligned_text& out) {
      for_each_character(in, out, [&](char32_t point, std::size_t begin, std::size_t end) {
        if (!is_ideograph(point)) return out.copy(in, begin, end);
        out.add(" ", in.range(begin, begin));
        out.copy(in, begin, end);
        out.add(" ", in.range(end, end));
      });
    });
  if (rules.strip_accents) {
    stages.push_back(normalize_unicode(normal_form::nfd));
    stages.push_back(strip_marks(marks::nonspacing));
  }
  if (rules.lowercase) stages.push_back(lowercase());
  return in_order(std::move(stages));
}

normalizer in_order(std::vector<normalizer> stages) {
  return [stages = std::move(stages)](const piece& in, aligned_text& out) {
    if (stages.empty()) return out.copy(in, 0, in.text.size());
    std::array<aligned_text, 2> between;
    piece now = in;
    for (std::size_t i = 0; i + 1 < stages.size(); ++i) {
      aligned_text& to = between[i % 2];
      to.clear();
      stages[i](now, to);
      now = to.view(in.continues);
    }
    stages.back()(now, out);
  };
}

}  // namespace engine
