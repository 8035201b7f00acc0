#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace program {

enum class exit_status { done = 0, stopped = 130 };

/// A declared option, to be configured further.
class option {
 public:
  explicit option(CLI::Option* declared) noexcept : declared_(declared) {}
  option& required();
  option& shows_default();  ///< prints the value that the variable has now as the default
  option& one_of(std::vector<std::string> values);
  option& positive();
  option& separated_by(char delimiter);

 private:
  CLI::Option* declared_;
};

/// One subcommand of the program: its options and the function that it runs.
class subcommand {
 public:
  subcommand(CLI::App& app, exit_status& status) noexcept : app_(&app), status_(&status) {}

  void footer(const std::string& text);
  /// Defined for std::string, unsigned and floating-point numbers, and vectors of std::string and double.
  /// `value` must outlive the command line.
  template<class Value>
  option add(const std::string& names, Value& value, const std::string& help);
  void add_flag(const std::string& name, bool& value, const std::string& help);
  void add_flag(const std::string& name, std::function<void()> set, const std::string& help);
  /// Runs after the options are parsed.
  void runs(std::function<exit_status()> body);

 private:
  CLI::App* app_;
  exit_status* status_;
};

/// The command line of the program. Only command_line.cpp includes CLI11, which takes seconds to compile.
class command_line {
 public:
  command_line(const std::string& name, const std::string& description, const std::string& footer);
  command_line(const command_line&) = delete;
  command_line& operator=(const command_line&) = delete;
  ~command_line();

  [[nodiscard]] subcommand add(const std::string& name, const std::string& description);
  /// `--version` prints this text.
  void version(const std::string& text);

  /// Parses the arguments and runs the subcommand; returns the exit code. Bad usage prints a message and returns 2.
  /// Throws what the subcommand throws.
  [[nodiscard]] int run(int argc, const char* const* argv);

 private:
  std::unique_ptr<CLI::App> app_;
  exit_status status_ = exit_status::done;
};

}  // namespace program
