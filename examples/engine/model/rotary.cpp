#include <engine/model/rotary.hpp>

#include <algorithm>
#include <bit>

namespace engine {

rotary::rotary(std::span<const rope_settings> ropes, std::size_t context) : context_(context) {
  for (const rope_settings& r : ropes) {
    check(r);
    entries_.push_back({.settings = r, .made = {}, .made_long = {}});
  }
}

rotary::rotary(const rotary& other) : context_(other.context_) {
  const std::lock_guard lock(other.access_);
  entries_ = other.entries_;
}

rotary& rotary::operator=(const rotary& other) {
  if (this == &other) return *this;
  const std::scoped_lock lock(access_, other.access_);
  context_ = other.context_;
  entries_ = other.entries_;
  return *this;
}

rotary::tables rotary::for_length(std::size_t length) const {
  // Tables grow to a power of two, so that a text that grows token by token makes few of them.
  const std::size_t enough = std::min(std::max(std::bit_ceil(length), std::size_t{64}), std::max(context_, length));
  tables all;
  const std::lock_guard lock(access_);
  for (entry& e : entries_) {
    const bool dynamic = e.settings.type == rope_type::dynamic;
    const bool longer = e.settings.type == rope_type::longrope && takes_long_factors(e.settings, length);
    const std::size_t working = dynamic ? std::max(length, e.settings.original_context) : length;
    std::shared_ptr<const rope_table>& table = longer ? e.made_long : e.made;
    if (!table || table->positions() < length || (dynamic && e.made_for != working)) {
      table = std::make_shared<const rope_table>(e.settings, enough, working);
      e.made_for = working;
    }
    all.push_back(table);
  }
  return all;
}

bool rotary::depends_on_length() const noexcept {
  return std::ranges::any_of(entries_, [](const entry& e) { return engine::depends_on_length(e.settings); });
}

bool rotary::same_at(std::size_t length, std::size_t longer) const noexcept {
  return std::ranges::all_of(entries_, [&](const entry& e) {
    const rope_settings& s = e.settings;
    if (!engine::depends_on_length(s) || length == longer) return true;
    if (s.type == rope_type::dynamic) return longer <= s.original_context;
    return takes_long_factors(s, length) == takes_long_factors(s, longer);
  });
}

}  // namespace engine
