#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>

namespace program {

/// How much the program says while it works.
enum class chatter { normal, quiet };

/// Shows how far a long job is: a bar with the time left on a terminal, a line now and then elsewhere, on stderr.
/// `step` may be called from several threads.
class progress {
 public:
  progress(std::string label, std::size_t total, chatter how);
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress();

  /// `count` more items are done. Items that were done before the job began (a resumed one) go through `skip`.
  void step(std::size_t count = 1);
  void skip(std::size_t count);

 private:
  using clock = std::chrono::steady_clock;
  void show(bool last);

  std::string label_;
  std::size_t total_, done_ = 0, skipped_ = 0;
  bool quiet_, terminal_;
  clock::time_point started_, shown_;
  std::mutex mutex_;
};

/// "4.2 s", "3 min 10 s", "1 h 05 min".
[[nodiscard]] std::string duration(double seconds);

/// From here on Ctrl-C only asks to stop; a second one ends the program at once.
void catch_interrupts();
/// True once somebody asked to stop.
[[nodiscard]] bool interrupted() noexcept;
/// Thrown by work that cannot be left half done and keeps nothing.
struct stopped {};

}  // namespace program
