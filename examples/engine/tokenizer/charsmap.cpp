#include <engine/tokenizer/pipeline.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace engine {
namespace {

/// The table: a double array over the bytes of its keys, and the texts that values are offsets in.
struct charsmap {
  std::vector<std::uint32_t> units;
  std::string texts;

  [[nodiscard]] static std::uint32_t offset(std::uint32_t unit) noexcept { return (unit >> 10) << ((unit & 512) >> 6); }

  /// Calls use(end, value) for every key that begins `text`, shortest first, until it returns false.
  template<class Use>
  void keys_of(std::string_view text, Use&& use) const {
    if (units.empty()) return;
    std::uint32_t at = offset(units[0]);
    for (std::size_t i = 0; i < text.size() && text[i] != '\0'; ++i) {
      const auto label = static_cast<unsigned char>(text[i]);
      at ^= label;
      if (at >= units.size() || (units[at] & 0x8000'00FFu) != label) return;
      const bool leaf = ((units[at] >> 8) & 1) != 0;
      at ^= offset(units[at]);
      if (leaf && (at >= units.size() || !use(i + 1, units[at] & 0x7FFF'FFFFu))) return;
    }
  }
  /// The text that replaces a key; nothing for a value that points outside.
  [[nodiscard]] std::optional<std::string_view> text_at(std::uint32_t value) const {
    if (value >= texts.size()) return std::nullopt;
    return std::string_view(texts).substr(value, texts.find('\0', value) - value);
  }
  [[nodiscard]] std::optional<std::string_view> shortest(std::string_view text) const {
    std::optional<std::string_view> found;
    keys_of(text, [&](std::size_t, std::uint32_t value) {
      found = text_at(value);
      return false;
    });
    return found;
  }
};

/// The end of the grapheme that begins at `at` in valid UTF-8.
[[nodiscard]] std::size_t grapheme_end(std::string_view text, std::size_t at) {
  utf8proc_int32_t state = 0;
  std::size_t length = utf8_length(text, at);
  auto point = static_cast<utf8proc_int32_t>(utf8_decode(text, at, length));
  for (at += length; at < text.size(); at += length) {
    length = utf8_length(text, at);
    if (length == 0) break;
    const auto next = static_cast<utf8proc_int32_t>(utf8_decode(text, at, length));
    if (utf8proc_grapheme_break_stateful(point, next, &state)) break;
    point = next;
  }
  return at;
}

}  // namespace

normalizer precompiled_charsmap(std::string_view bytes, charsmap_match how, const std::string& where) {
  const auto map = std::make_shared<charsmap>();
  std::uint32_t size = 0;
  if (!bytes.empty()) {
    if (bytes.size() < 4 || (std::memcpy(&size, bytes.data(), 4), size % 4 != 0) || size > bytes.size() - 4)
      refuse_input(where, "a precompiled character map whose parts do not fit", "an intact tokenizer file");
    map->units.resize(size / 4);
    if (size != 0) std::memcpy(map->units.data(), bytes.data() + 4, size);
    map->texts = bytes.substr(4 + size);
    if (valid_end(map->texts, 0) != map->texts.size())
      refuse_input(where, "a precompiled character map with texts that are not UTF-8", "an intact tokenizer file");
  }
  if (how == charsmap_match::longest)
    return [map](const piece& in, aligned_text& out) {
      for (std::size_t at = 0; at < in.text.size();) {
        std::size_t end = at;
        std::optional<std::string_view> found;
        map->keys_of(in.text.substr(at), [&](std::size_t length, std::uint32_t value) {
          if (const auto text = map->text_at(value)) {
            found = text;
            end = at + length;
          }
          return true;
        });
        if (found) {
          out.add(*found, in.range(at, end));
        } else {
          end = at + std::max<std::size_t>(utf8_length(in.text, at), 1);
          out.copy(in, at, end);
        }
        at = end;
      }
    };
  return [map](const piece& in, aligned_text& out) {
    const auto replace = [&](std::size_t begin, std::size_t end) {
      const auto to = map->shortest(in.text.substr(begin, end - begin));
      if (to) out.add(*to, in.range(begin, end));
      return to.has_value();
    };
    for (std::size_t at = 0; at < in.text.size();) {
      if (utf8_length(in.text, at) == 0) {
        out.copy(in, at, at + 1);
        ++at;
        continue;
      }
      const std::size_t end = grapheme_end(in.text, at);
      if (end - at < 6 && replace(at, end)) {
        at = end;
        continue;
      }
      while (at < end) {
        const std::size_t length = utf8_length(in.text, at);
        if (!replace(at, at + length)) out.copy(in, at, at + length);
        at += length;
      }
    }
  };
}

}  // namespace engine
