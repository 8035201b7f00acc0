#include <engine/model/shared_forward.hpp>

#include <engine/model/thread_team.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

namespace engine {
namespace {

thread_local thread_team* current_team = nullptr;
thread_local std::optional<std::size_t> current_threads;

/// Multiply-adds that take about ten times as long as waking a thread.
constexpr double worth_waking = 4e6;

}  // namespace

shared_forward::shared_forward(std::size_t threads) : outer_team_(current_team), outer_threads_(current_threads) {
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  if (threads > 1) team_ = std::make_unique<thread_team>(threads);
  current_team = team_.get();
  current_threads = threads;
}

shared_forward::~shared_forward() {
  current_team = outer_team_;
  current_threads = outer_threads_;
}

std::optional<std::size_t> shared_forward::threads() noexcept { return current_threads; }

std::size_t worthwhile_pieces(double multiply_adds, std::size_t most) noexcept {
  if (current_team == nullptr || current_team->size() == 1 || multiply_adds < 2 * worth_waking) return 1;
  const double fit = multiply_adds / worth_waking, wanted = static_cast<double>(4 * current_team->size());
  return std::clamp<std::size_t>(static_cast<std::size_t>(std::min(fit, wanted)), 1, std::max<std::size_t>(most, 1));
}

void run_pieces(std::size_t pieces, const std::function<void(std::size_t)>& job) {
  thread_team* const team = current_team;
  if (team == nullptr || pieces < 2) {
    for (std::size_t i = 0; i < pieces; ++i) job(i);
    return;
  }
  current_team = nullptr;  // a job does not divide its own work
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  team->run(pieces, [&](std::size_t i) {
    try {
      job(i);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  });
  current_team = team;
  if (failure) std::rethrow_exception(failure);
}

}  // namespace engine
