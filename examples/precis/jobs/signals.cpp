#include "jobs/signals.hpp"

#include <engine/files/files.hpp>

#include <unistd.h>
#include <atomic>
#include <csignal>
#include <cstring>

namespace program {

namespace {

std::atomic<int> arrived{0};  // the first signal
std::atomic<const char*> last_words{nullptr};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<const char*>::is_always_lock_free);

/// Only what a signal handler may call, here and in remove_temporaries.
[[noreturn]] void end_at_once() {
  const char* const said = last_words.load();
  const char* const text = said == nullptr ? nothing_written : said;
  static_cast<void>(::write(STDERR_FILENO, text, std::strlen(text)) == 0);
  engine::remove_temporaries();
  ::_exit(interrupted_status());
}

extern "C" void ask_to_stop(int signal) {
  int none = 0;
  if (signal == SIGALRM || !arrived.compare_exchange_strong(none, signal)) end_at_once();
  ::alarm(1);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = ask_to_stop;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGALRM}) {
    struct sigaction before{};
    if (signal == SIGHUP && ::sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    ::sigaction(signal, &action, nullptr);
  }
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is reported like a full disk
}

bool interrupted() noexcept { return arrived != 0; }
int interrupted_status() noexcept { return 128 + arrived; }
const char* say_if_ended(const char* text) noexcept { return last_words.exchange(text); }

}  // namespace program
