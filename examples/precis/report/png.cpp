#include <report/png.hpp>

#include <engine/files/files.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#if __has_include(<spawn.h>)
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <csignal>

extern char** environ;
#endif

namespace report {

#if __has_include(<spawn.h>)
namespace {

struct closing {
  void operator()(std::FILE* f) const noexcept { std::fclose(f); }
};
/// An unnamed temporary file, deleted when it is closed.
using scratch = std::unique_ptr<std::FILE, closing>;

std::optional<std::filesystem::path> find_program(std::string_view name, std::string_view search_path) {
  while (!search_path.empty()) {
    const std::size_t stop = std::min(search_path.find(':'), search_path.size());
    const std::filesystem::path folder(search_path.substr(0, stop));
    search_path.remove_prefix(std::min(stop + 1, search_path.size()));
    // Skip relative folders: never run a program from the current folder.
    if (!folder.is_absolute()) continue;
    std::filesystem::path program = folder / name;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(program, ignored) && ::access(program.c_str(), X_OK) == 0) return program;
  }
  return std::nullopt;
}

/// Runs a program from `input` to `output`, discarding its messages. True if it exits in time with success.
bool run(const std::filesystem::path& program, std::vector<std::string> words, std::FILE* input, std::FILE* output,
         int seconds) {
  words.insert(words.begin(), program.string());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  if (posix_spawn_file_actions_init(&actions) != 0) return false;
  pid_t child = 0;
  const bool started = posix_spawn_file_actions_adddup2(&actions, ::fileno(input), STDIN_FILENO) == 0 &&
                       posix_spawn_file_actions_adddup2(&actions, ::fileno(output), STDOUT_FILENO) == 0 &&
                       posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0) == 0 &&
                       posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ) == 0;
  posix_spawn_file_actions_destroy(&actions);
  if (!started) return false;

  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  int status = 0;
  for (;;) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (ended < 0 && errno != EINTR) return false;
    if (std::chrono::steady_clock::now() >= deadline) {
      ::kill(child, SIGKILL);
      while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
      return false;
    }
    const timespec pause{.tv_sec = 0, .tv_nsec = 5'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

std::string read_all(std::FILE* f) {
  std::string out;
  std::array<char, 65536> part{};
  std::rewind(f);
  for (std::size_t n = 0; (n = std::fread(part.data(), 1, part.size(), f)) > 0;) out.append(part.data(), n);
  return out;
}

}  // namespace

bool save_png(std::string_view svg, const std::filesystem::path& target, const png_options& options) {
  struct converter {
    std::string_view name;
    std::vector<std::string> words;
  };
  const std::array<converter, 4> known{{
      {"rsvg-convert", {"--format=png", fmt::format("--zoom={}", options.zoom)}},
      {"inkscape",
       {"--pipe", "--export-type=png", "--export-filename=-", fmt::format("--export-dpi={}", 96 * options.zoom)}},
      {"magick", {"-density", fmt::format("{}", 96 * options.zoom), "svg:-", "png:-"}},
      {"convert", {"-density", fmt::format("{}", 96 * options.zoom), "svg:-", "png:-"}},
  }};
  std::string search_path = options.search_path;
  if (search_path.empty())
    if (const char* path = std::getenv("PATH")) search_path = path;

  for (const converter& c : known) {
    const std::optional<std::filesystem::path> program = find_program(c.name, search_path);
    if (!program) continue;
    const scratch input(std::tmpfile()), output(std::tmpfile());
    if (!input || !output) return false;
    if (std::fwrite(svg.data(), 1, svg.size(), input.get()) != svg.size() || std::fflush(input.get()) != 0)
      return false;
    std::rewind(input.get());
    if (!run(*program, c.words, input.get(), output.get(), options.seconds)) continue;
    // Check the output from its first byte to its last chunk: another program may have the same name.
    const std::string png = read_all(output.get());
    if (!png.starts_with("\x89PNG\r\n\x1a\n") ||
        png.find("IEND", png.size() - std::min<std::size_t>(png.size(), 12)) == std::string::npos)
      continue;
    engine::write_file(target, png);
    return true;
  }
  return false;
}

#else

bool save_png(std::string_view, const std::filesystem::path&, const png_options&) { return false; }

#endif

}  // namespace report
