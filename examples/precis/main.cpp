#include "commands/commands.hpp"
#include "commands/version.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/output.hpp"
#include "jobs/progress.hpp"
#include "jobs/signals.hpp"

#include <engine/files/memory.hpp>
#include <engine/files/model_kinds.hpp>

#include <precis/core/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <string_view>

namespace {

std::atomic<std::size_t> refused_bytes{0};  // of the last allocation that failed

/// Names in messages may come from files and paths: what would disturb a terminal is escaped.
void say(std::string_view message) {
  const std::string line = precis::printable(message, 4000);
  std::fprintf(stderr, "precis: %s\n", line.c_str());
}

}  // namespace

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PRECIS_CHECKS_ALLOCATIONS  // the sanitizer has allocation functions of its own
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define PRECIS_CHECKS_ALLOCATIONS
#endif
#if !defined(PRECIS_CHECKS_ALLOCATIONS)
/// As the standard library's, but a failure remembers its size for the message.
void* operator new(std::size_t bytes) {
  if (void* const memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  refused_bytes = bytes;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

/// Exit codes: 0 done, 2 bad input or usage, 128 + N stopped by signal N (130 for Ctrl-C), 1 anything else.
int main(int argc, char** argv) {
  try {
    program::command_line line(
        "precis",
        "precis measures what a network can afford to lose, spends bits where they matter, and packs the result.",
        "Start with:  precis demo\n"
        "Each subcommand has its own help:  precis evaluate --help\n"
        "MODEL is " +
            engine::readable_language_models() +
            ".\n`evaluate` also takes a classifier: " + engine::readable_classifiers() +
            ".\n`embed` takes a sentence encoder: " + engine::readable_encoders() + ".");
    line.version(program::version_text());
    program::add_all(line);
    program::catch_interrupts();
    const int status = line.run(argc, argv);
    program::flush_report();
    return status == static_cast<int>(program::exit_status::stopped) ? program::interrupted_status() : status;
  } catch (const program::part_written&) {
    return 0;
  } catch (const program::stopped&) {
    const char* const words = program::say_if_ended(nullptr);
    std::fputs(words == nullptr ? program::nothing_written : words, stderr);
    return program::interrupted_status();
  } catch (
      const precis::error& e) {  // each part is cut, so that the longest path leaves room for what is wrong with it
    say(precis::problem{.what = precis::printable(e.reason().what, 1000),
                        .where = precis::printable(e.reason().where, 600),
                        .expected = precis::printable(e.reason().expected, 1000)}
            .message());
    return 2;
  } catch (const std::bad_alloc&) {
    const std::string work = program::current_work();
    std::fprintf(stderr,
                 "precis: not enough memory: needs %s more%s; expected more free memory, a smaller model, a shorter "
                 "context or fewer threads\n",
                 engine::bytes_as_text(refused_bytes).c_str(), work.empty() ? "" : (" while " + work).c_str());
    return 1;
  } catch (const std::exception& e) {
    say(e.what());
    return 1;
  }
}
