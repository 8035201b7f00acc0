#include <engine/tokenizer/pipeline.hpp>

namespace engine {

byte_range piece::range(std::size_t begin, std::size_t end) const noexcept {
  if (origin == nullptr) return {first + static_cast<std::uint32_t>(begin), first + static_cast<std::uint32_t>(end)};
  if (begin < end) return {origin[begin].begin, origin[end - 1].end};
  if (text.empty()) return {first, first};
  const std::uint32_t at = begin < text.size() ? origin[begin].begin : origin[text.size() - 1].end;
  return {at, at};
}

piece piece::part(std::size_t begin, std::size_t end) const noexcept {
  piece p = *this;
  p.text = text.substr(begin, end - begin);
  p.first = range(begin, begin).begin;
  if (origin != nullptr) p.origin = origin + begin;
  p.continues = continues && begin == 0;
  return p;
}

void aligned_text::add(std::string_view bytes, byte_range from) {
  text_ += bytes;
  origin_.resize(text_.size(), from);
}

void aligned_text::copy(const piece& p, std::size_t begin, std::size_t end) {
  text_ += p.text.substr(begin, end - begin);
  for (std::size_t i = begin; i < end; ++i) origin_.push_back(p.range(i, i + 1));
}

}  // namespace engine
