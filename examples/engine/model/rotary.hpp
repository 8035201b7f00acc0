#pragma once

#include <engine/model/rope.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace engine {

/// The tables of a model's rotary positions, made when they are needed.
///
/// Threads   several threads may call const members of one object concurrently.
class rotary {
 public:
  rotary() = default;
  /// `context` is the longest sequence. Errors: those of check(rope_settings).
  rotary(std::span<const rope_settings> ropes, std::size_t context);
  rotary(const rotary& other);
  rotary& operator=(const rotary& other);

  using tables = std::vector<std::shared_ptr<const rope_table>>;
  /// A table per settings, for all positions of sequences of `length` positions.
  [[nodiscard]] tables for_length(std::size_t length) const;
  /// True if the rotation of a position depends on the length of its sequence.
  [[nodiscard]] bool depends_on_length() const noexcept;
  /// True if positions keep their rotation when a sequence grows from one length to another.
  [[nodiscard]] bool same_at(std::size_t length, std::size_t longer) const noexcept;

 private:
  struct entry {
    rope_settings settings;
    std::shared_ptr<const rope_table> made, made_long;
    std::size_t made_for = 0;  ///< dynamic: the length
  };
  std::size_t context_ = 0;
  mutable std::vector<entry> entries_;
  mutable std::mutex access_;
};

}  // namespace engine
