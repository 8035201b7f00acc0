#include <engine/tokenizer/pattern.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/utf8.hpp>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace engine {
namespace {

struct release {
  void operator()(pcre2_match_data* p) const noexcept { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const noexcept { pcre2_match_context_free(p); }
  void operator()(pcre2_jit_stack* p) const noexcept { pcre2_jit_stack_free(p); }
};

// Spelled out because PCRE2's own classes differ from Oniguruma's: its \s has U+180E, its \w has neither marks nor
// connectors but every number.
#define PRECIS_SPACE \
  "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define PRECIS_NO_SPACE                                                                                     \
  "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-" \
  "\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define PRECIS_WORD                                                                                               \
  "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}" \
  "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

/// The expression in PCRE2's syntax.
[[nodiscard]] std::string translated(std::string_view from, std::string_view where) {
  const auto refuse_syntax = [&](std::string_view what) {
    refuse_input(where, "\"" + std::string(what) + "\" in the pattern \"" + std::string(from.substr(0, 60)) + "\"",
                 "a pattern without it, because this engine's pattern library would read it otherwise");
  };
  std::string to;
  bool in_class = false;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const char c = from[i];
    if (c == '\\' && i + 1 < from.size()) {
      const char escaped = from[++i];
      switch (escaped) {
        case 's': to += in_class ? PRECIS_SPACE : "[" PRECIS_SPACE "]"; break;
        case 'S': to += in_class ? PRECIS_NO_SPACE : "[^" PRECIS_SPACE "]"; break;
        case 'w': to += in_class ? PRECIS_WORD : "[" PRECIS_WORD "]"; break;
        case 'W':
          if (in_class) refuse_syntax("\\W in a set");
          to += "[^" PRECIS_WORD "]";
          break;
        case 'n':
        case 'r':
        case 't':
        case 'f':
        case 'd':
        case 'D':
        case 'p':
        case 'P':
        case 'x':
          to += {'\\', escaped};
          if (i + 1 < from.size() && from[i + 1] == '{') {  // not a repetition
            const std::size_t end = std::min(from.find('}', i), from.size() - 1);
            to += from.substr(i + 1, end - i);
            i = end;
          }
          break;
        default:
          if ((escaped >= 'a' && escaped <= 'z') || (escaped >= 'A' && escaped <= 'Z') ||
              (escaped >= '0' && escaped <= '9'))
            refuse_syntax(std::string("\\") + escaped);
          if (static_cast<unsigned char>(escaped) < 0x80) to += '\\';
          to += escaped;
      }
      continue;
    }
    if (in_class) {
      if (c == '[') refuse_syntax("[ in a set");
      if (c == '&' && from.substr(i, 2) == "&&") refuse_syntax("&& in a set");
      if (c == ']') in_class = false;
    } else if (c == '[') {
      in_class = true;
      to += c;
      if (i + 1 < from.size() && from[i + 1] == '^') to += from[++i];
      if (i + 1 < from.size() && from[i + 1] == ']') refuse_syntax("an empty set");
      continue;
    } else if (c == '(' && i + 1 < from.size() && from[i + 1] == '?') {
      bool known = false;
      for (const std::string_view group : {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"})
        known = known || from.substr(i).starts_with(group);
      if (!known) refuse_syntax(from.substr(i, 4));
    } else if (c == '(' && i + 1 < from.size() && from[i + 1] == '*') {
      refuse_syntax("(*");
    } else if (c == '{' && i + 1 < from.size() && from[i + 1] == ',') {
      refuse_syntax("{,");
    } else if (c == '}' && i + 1 < from.size() && from[i + 1] == '+') {
      refuse_syntax("}+");
    }
    to += c;
  }
  return to;
}

[[nodiscard]] std::string message_of(int code) {
  unsigned char message[120] = "";
  pcre2_get_error_message(code, message, sizeof message);
  return reinterpret_cast<const char*>(message);
}

/// What matching needs besides the expression; one per thread.
struct match_memory {
  std::unique_ptr<pcre2_match_data, release> data{pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, release> context{pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, release> stack{pcre2_jit_stack_create(32 * 1024, 16 * 1024 * 1024, nullptr)};

  match_memory() {
    if (!data || !context || !stack) std::abort();  // out of memory
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

}  // namespace

struct pattern::compiled {
  std::shared_ptr<const pcre2_code> code;
  std::string text, where;
};

pattern::pattern(kind k, std::string_view text, std::string_view where) {
  if (k == kind::literal) {
    literal_ = text;
    if (text.empty()) refuse_input(where, "an empty text as a pattern", "at least one character");
    return;
  }
  const std::string expression = translated(text, where);
  int fault = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* const code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                         PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &fault, &at, nullptr);
  if (code == nullptr)
    refuse_input(where, "the pattern \"" + std::string(text.substr(0, 60)) + "\" (" + message_of(fault) + ")",
                 "a regular expression that PCRE2 accepts");
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // if it fails, matching is slower but the result is the same
  code_ = std::make_shared<const compiled>(
      std::shared_ptr<const pcre2_code>(code, [code](auto*) { pcre2_code_free(code); }), std::string(text),
      std::string(where));
}

namespace {

/// The matches in valid UTF-8. Like Oniguruma's iterator, an empty match right after another match is none.
template<class Use>
void find_in_valid(const pcre2_code* code, std::string_view text, std::size_t offset, const Use& use,
                   std::string_view name, std::string_view where) {
  thread_local const match_memory memory;
  const auto* const subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t at = 0, done = 0;
  bool after_match = false;
  while (at <= text.size()) {
    const int found =
        pcre2_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, memory.data.get(), memory.context.get());
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0)
      refuse_input(where, "the pattern \"" + std::string(name.substr(0, 60)) + "\" (" + message_of(found) + ")",
                   "a pattern that needs less work on this text");
    const std::size_t* const match = pcre2_get_ovector_pointer(memory.data.get());
    const std::size_t begin = match[0], end = match[1];
    if (begin == end && after_match && end == done) {
      if (at >= text.size()) break;
      at += std::max<std::size_t>(utf8_length(text, at), 1);
      continue;
    }
    if (begin > done) use(offset + done, offset + begin, false);
    use(offset + begin, offset + end, true);
    at = done = end;
    after_match = true;
  }
  if (done < text.size()) use(offset + done, offset + text.size(), false);
}

}  // namespace

void pattern::find_all(std::string_view text, const std::function<void(std::size_t, std::size_t, bool)>& use) const {
  if (!code_) {
    std::size_t done = 0;
    for (std::size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, done)) {
      if (at > done) use(done, at, false);
      done = at + literal_.size();
      use(at, done, true);
    }
    if (done < text.size()) use(done, text.size(), false);
    return;
  }
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = valid_end(text, at);
    if (end > at) find_in_valid(code_->code.get(), text.substr(at, end - at), at, use, code_->text, code_->where);
    at = end;
    while (end < text.size() && utf8_length(text, end) == 0) ++end;
    if (end > at) use(at, end, false);
    at = end;
  }
}

const pattern& gpt2_pattern() {
  // `++` is possessive, which is safe: giving back characters could not make any alternative match longer.
  static const pattern p(pattern::kind::expression,
                         R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s+(?!\S)|\s++)",
                         "GPT-2 pre-tokenizer");
  return p;
}

#undef PRECIS_SPACE
#undef PRECIS_NO_SPACE
#undef PRECIS_WORD

}  // namespace engine
