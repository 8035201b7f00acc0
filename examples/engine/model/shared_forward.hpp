#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

/// Forwards that several threads compute together.
namespace engine {

class thread_team;

/// While it lives, the calling thread's forwards share their products and attention among `threads` threads (0: one per
/// processor). Results have the same bits for any number: each element of a result is computed by one thread, in the same
/// order. Scopes nest; the innermost counts.
class shared_forward {
 public:
  explicit shared_forward(std::size_t threads);
  shared_forward(const shared_forward&) = delete;
  shared_forward& operator=(const shared_forward&) = delete;
  ~shared_forward();

  /// Threads of the calling thread's innermost scope; none outside of all scopes.
  [[nodiscard]] static std::optional<std::size_t> threads() noexcept;

 private:
  std::unique_ptr<thread_team> team_;  ///< null: the caller alone
  thread_team* outer_team_;
  std::optional<std::size_t> outer_threads_;
};

/// The number of equal pieces, at most `most`, into which work of so many multiply-adds should be divided: 1 if the calling
/// thread works alone or if waking other threads would take longer.
[[nodiscard]] std::size_t worthwhile_pieces(double multiply_adds, std::size_t most) noexcept;

/// Calls job(0), ..., job(pieces - 1) in any order on the threads of the calling thread's scope. Rethrows one of the
/// exceptions that jobs threw.
void run_pieces(std::size_t pieces, const std::function<void(std::size_t)>& job);

}  // namespace engine
