#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace engine {

/// Uninitialised floats for the length of one call, from memory that the thread keeps: after the first call of a shape
/// nothing is allocated. Calls may nest (a tap may run a model): every one borrows an arena of its own.
class arena {
 public:
  arena() {
    if (idle().empty()) return;
    blocks_ = std::move(idle().back());
    idle().pop_back();
  }
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  ~arena() {
    if (blocks_.size() > 1) {  // next time in one piece
      std::size_t total = 0;
      for (const block& b : blocks_) total += b.size;
      blocks_.clear();
      if (void* piece = ::operator new(total * sizeof(float), std::align_val_t{64}, std::nothrow))
        blocks_.push_back({owned(static_cast<float*>(piece)), total});
    }
    if (idle().size() < idle().capacity()) idle().push_back(std::move(blocks_));
  }

  /// n floats at the start of a cache line, valid until the arena goes out of scope.
  [[nodiscard]] float* take(std::size_t n) {
    n = (n + 15) / 16 * 16;
    if (blocks_.empty() || blocks_.back().size - used_ < n) {
      const std::size_t size = std::max(n, blocks_.empty() ? std::size_t{1} << 16 : 2 * blocks_.back().size);
      blocks_.push_back({owned(static_cast<float*>(::operator new(size * sizeof(float), std::align_val_t{64}))), size});
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
      none.reserve(4);  // deeper nesting gives its memory back
      return none;
    }();
    return kept;
  }

  blocks blocks_;
  std::size_t used_ = 0;
};

}  // namespace engine
