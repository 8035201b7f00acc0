#include "counted.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

// Every allocation is preceded by its size and start, so that deallocation can subtract the size.
namespace {

std::atomic<std::size_t> now{0}, peak{0}, before{0};

struct header {
  void* start;
  std::size_t size;
};

void* try_take(std::size_t size, std::size_t alignment) noexcept {
  void* const start = std::malloc(size + alignment + sizeof(header));
  if (start == nullptr) return nullptr;
  const auto first = reinterpret_cast<std::uintptr_t>(start) + sizeof(header);
  const std::uintptr_t at = (first + alignment - 1) / alignment * alignment;
  *(reinterpret_cast<header*>(at) - 1) = {start, size};
  const std::size_t all = now.fetch_add(size) + size;
  for (std::size_t seen = peak.load(); seen < all && !peak.compare_exchange_weak(seen, all);) {}
  return reinterpret_cast<void*>(at);
}
void* take(std::size_t size, std::size_t alignment) {
  void* const p = try_take(size, alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void give(void* p) noexcept {
  if (p == nullptr) return;
  const header h = *(static_cast<header*>(p) - 1);
  now.fetch_sub(h.size);
  std::free(h.start);
}

}  // namespace

void counted::start() noexcept { peak = before = now.load(); }
std::size_t counted::most() noexcept { return peak - before; }

// All forms are replaced: a sanitizer's own would not call these, and memory would be freed by the wrong one.
#define PRECIS_COUNTED(OPERATOR_NEW, OPERATOR_DELETE)                                                          \
  void* OPERATOR_NEW(std::size_t size) { return take(size, alignof(std::max_align_t)); }                       \
  void* OPERATOR_NEW(std::size_t size, std::align_val_t a) { return take(size, static_cast<std::size_t>(a)); } \
  void* OPERATOR_NEW(std::size_t size, const std::nothrow_t&) noexcept {                                       \
    return try_take(size, alignof(std::max_align_t));                                                          \
  }                                                                                                            \
  void* OPERATOR_NEW(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {                   \
    return try_take(size, static_cast<std::size_t>(a));                                                        \
  }                                                                                                            \
  void OPERATOR_DELETE(void* p) noexcept { give(p); }                                                          \
  void OPERATOR_DELETE(void* p, std::size_t) noexcept { give(p); }                                             \
  void OPERATOR_DELETE(void* p, std::align_val_t) noexcept { give(p); }                                        \
  void OPERATOR_DELETE(void* p, std::size_t, std::align_val_t) noexcept { give(p); }                           \
  void OPERATOR_DELETE(void* p, const std::nothrow_t&) noexcept { give(p); }                                   \
  void OPERATOR_DELETE(void* p, std::align_val_t, const std::nothrow_t&) noexcept { give(p); }
PRECIS_COUNTED(operator new, operator delete)
PRECIS_COUNTED(operator new[], operator delete[])
#undef PRECIS_COUNTED
