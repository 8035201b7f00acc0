#pragma once

#include "temporary_folder.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

/// Runs the built program as a user does, in a temporary folder.
namespace test {

struct outcome {
  int status = -1;   ///< exit code
  std::string text;  ///< standard output and error together
};

/// A temporary folder for one test.
class scratch {
 public:
  explicit scratch(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / ("precis-test-" + name + "-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::size_t entries() const {
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator(path_)) ++n;
    return n;
  }

 private:
  std::filesystem::path path_;
};

/// Sets an environment variable for one test.
class environment_variable {
 public:
  environment_variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name); before != nullptr) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  environment_variable(const environment_variable&) = delete;
  environment_variable& operator=(const environment_variable&) = delete;
  ~environment_variable() {
    if (before_)
      setenv(name_, before_->c_str(), 1);
    else
      unsetenv(name_);
  }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

inline std::string read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

/// How the program is run, apart from its arguments.
struct circumstances {
  std::vector<int> signals{SIGINT};    ///< sent once `meanwhile` returns true, one after the other
  std::string output = {};             ///< file for standard output instead of the log
  std::function<bool()> prepare = {};  ///< called in the child process; false: the test is skipped with status 125
};

/// Whether a process runs the program and has a handler for a signal, as /proc tells. (A copy of the test's process has
/// its handlers.)
inline bool handles(pid_t process, int signal) {
  const std::string proc = "/proc/" + std::to_string(process);
  std::error_code none;
  if (!std::filesystem::exists(proc + "/exe", none)) return true;
  if (!std::filesystem::equivalent(proc + "/exe", PRECIS_PROGRAM, none)) return false;
  const std::string status = read(proc + "/status");
  const std::size_t at = status.find("SigCgt:");
  return at == std::string::npos ||
         (std::strtoull(status.c_str() + at + 7, nullptr, 16) >> static_cast<unsigned>(signal - 1) & 1u) != 0;
}

/// Runs the program with these arguments in `folder`. `meanwhile` is called every 5 ms until it returns true; then the
/// program gets the signals, by default an interrupt, as from Ctrl-C.
inline outcome run(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                   const std::function<bool()>& meanwhile = {}, const circumstances& how = {}) {
  static int runs = 0;  // `meanwhile` may run the program, too
  const std::filesystem::path log = folder / (".output-" + std::to_string(runs++));
  std::cout.flush();  // the child process would write what is buffered once more
  const pid_t child = fork();
  if (child == 0) {
    std::vector<std::string> words{PRECIS_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    if (chdir(folder.c_str()) != 0 || std::freopen(log.c_str(), "w", stdout) == nullptr || dup2(1, 2) < 0) _exit(126);
    if (!how.output.empty() && std::freopen(how.output.c_str(), "w", stdout) == nullptr) _exit(126);
    if (how.prepare && !how.prepare()) _exit(125);
    execv(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  bool asked = !meanwhile;
  while (waitpid(child, &status, asked ? 0 : WNOHANG) == 0) {
    if (!asked && handles(child, how.signals.front()) && meanwhile()) {
      for (const int signal : how.signals) kill(child, signal);
      asked = true;
    }
    usleep(5000);
  }
  outcome o{WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), read(log)};
  std::filesystem::remove(log);
  return o;
}

inline const std::string world = PRECIS_SOURCE_DIR "/examples/models/world";

}  // namespace test
