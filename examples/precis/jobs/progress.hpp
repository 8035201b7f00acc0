#pragma once

#include "jobs/signals.hpp"

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>

namespace program {

/// Whether progress is shown.
enum class chatter { normal, quiet };

/// Shows the progress of a long job on stderr: a bar with the time left on a terminal, a line every 20 seconds
/// elsewhere. `step` may be called from several threads.
class progress {
 public:
  progress(std::string label, std::size_t total, chatter how);
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress();

  /// Counts `count` more items as done. `skip` counts items that were done before the job began (in a resumed job).
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

/// The label of the last progress bar: what the program is, or was, doing. "" before the first.
[[nodiscard]] std::string current_work();

[[nodiscard]] inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// "4.2 s", "3 min 10 s", "1 h 05 min".
[[nodiscard]] std::string duration(double seconds);

}  // namespace program
