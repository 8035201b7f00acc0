#pragma once

#include <engine/files/memory.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace engine {

/// Uninitialized floats for the duration of one call, from memory that the thread reuses: repeated calls of the same
/// shape allocate nothing. Calls may nest (a tap may run a model); each uses its own arena.
class scratch_arena {
 public:
  scratch_arena() {
    if (idle().empty()) return;
    blocks_ = std::move(idle().back());
    idle().pop_back();
  }
  scratch_arena(const scratch_arena&) = delete;
  scratch_arena& operator=(const scratch_arena&) = delete;
  ~scratch_arena() {
    if (blocks_.size() > 1) {  // the next use gets one contiguous block
      std::size_t total = 0;
      for (const block& b : blocks_) total += b.size;
      blocks_.clear();
      if (void* piece = ::operator new(total * sizeof(float), std::align_val_t{64}, std::nothrow))
        blocks_.push_back({owned(static_cast<float*>(piece)), total});
    }
    if (idle().size() < idle().capacity()) idle().push_back(std::move(blocks_));
  }

  /// n floats aligned to a cache line, valid until the arena goes out of scope.
  [[nodiscard]] float* take(std::size_t n) {
    n = (n + 15) / 16 * 16;
    if (blocks_.empty() || blocks_.back().size - used_ < n) {
      const std::size_t size = std::max(n, blocks_.empty() ? std::size_t{1} << 16 : 2 * blocks_.back().size);
      blocks_.push_back(with_memory(size * sizeof(float), "the activations and gradients of one batch", [&] {
        return block{owned(static_cast<float*>(::operator new(size * sizeof(float), std::align_val_t{64}))), size};
      }));
      used_ = 0;
    }
    used_ += n;
    return blocks_.back().values.get() + used_ - n;
  }

 private:
  struct release {
    void operator()(float* p) const noexcept { ::operator delete(p, std::align_val_t{64}); }
  };
  using owned = std::unique_ptr<float[], release>;
  struct block {
    owned values;
    std::size_t size = 0;
  };
  using blocks = std::vector<block>;

  static std::vector<blocks>& idle() {
    thread_local std::vector<blocks> kept = [] {
      std::vector<blocks> none;
      none.reserve(4);  // memory of deeper nesting levels is freed
      return none;
    }();
    return kept;
  }

  blocks blocks_;
  std::size_t used_ = 0;
};

}  // namespace engine
