#pragma once

#include "temporary_folder.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

/// Runs the built program as a user would, in a folder of its own.
namespace test {

struct outcome {
  int status = -1;   ///< exit code
  std::string text;  ///< standard output and error together
};

using scratch = temporary_folder;

inline std::string read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

/// Runs the program with these arguments in `folder`. `meanwhile` is asked every 5 ms until it says true; then the program
/// gets an interrupt, as from Ctrl-C.
inline outcome run(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                   const std::function<bool()>& meanwhile = {}) {
  const std::filesystem::path log = folder / ".output";
  const pid_t child = fork();
  if (child == 0) {
    std::vector<std::string> words{PRECIS_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    if (chdir(folder.c_str()) != 0 || std::freopen(log.c_str(), "w", stdout) == nullptr || dup2(1, 2) < 0) _exit(126);
    execv(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  bool asked = !meanwhile;
  while (waitpid(child, &status, asked ? 0 : WNOHANG) == 0) {
    if (!asked && meanwhile()) {
      kill(child, SIGINT);
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
