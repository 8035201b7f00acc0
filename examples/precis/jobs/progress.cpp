#include "jobs/progress.hpp"

#include <fmt/format.h>

#include <unistd.h>
#include <cstdio>

namespace program {

std::string duration(double seconds) {
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<long long>(seconds + 0.5);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

namespace {
std::mutex work_mutex;
std::string work;
}  // namespace

std::string current_work() {
  const std::lock_guard lock(work_mutex);
  return work;
}

progress::progress(std::string label, std::size_t total, chatter how)
    : label_(std::move(label)),
      total_(total),
      quiet_(how == chatter::quiet),
      terminal_(isatty(STDERR_FILENO) == 1),
      started_(clock::now()),
      shown_(started_) {
  {
    const std::lock_guard lock(work_mutex);
    work = label_;
  }
  if (!quiet_ && terminal_) show(false);
}

progress::~progress() {
  const std::lock_guard lock(mutex_);
  if (!quiet_) show(true);
}

void progress::skip(std::size_t count) {
  const std::lock_guard lock(mutex_);
  done_ += count;
  skipped_ += count;
}

void progress::step(std::size_t count) {
  const std::lock_guard lock(mutex_);
  done_ += count;
  const double waited = std::chrono::duration<double>(clock::now() - shown_).count();
  if (!quiet_ && waited > (terminal_ ? 0.1 : 20.0)) show(false);
}

void progress::show(bool last) {
  shown_ = clock::now();
  const double spent = std::chrono::duration<double>(shown_ - started_).count();
  const std::size_t fresh = done_ - skipped_;
  std::string left;
  if (!last && fresh > 0 && done_ < total_)
    left = ", " + duration(spent / static_cast<double>(fresh) * static_cast<double>(total_ - done_)) + " left";
  if (last) left = " in " + duration(spent);
  if (!terminal_) {
    fmt::print(stderr, "{}: {} of {}{}\n", label_, done_, total_, left);
    return;
  }
  constexpr std::size_t width = 28;
  const std::size_t filled = total_ == 0 ? width : width * done_ / total_;
  fmt::print(stderr, "\r{} [{}{}] {}/{}{}\033[K{}", label_, std::string(filled, '#'), std::string(width - filled, '.'),
             done_, total_, left, last ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace program
