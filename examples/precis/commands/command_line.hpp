#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace program {

enum class exit_status { done = 0, stopped = 130 };

/// The options of a subcommand that name files and folders.
struct named_paths {
  struct path {
    std::string option;
    const std::string* value;  ///< "" if the option was not given
  };
  std::vector<path> inputs, outputs;
};

/// When an option means something.
struct condition {
  std::function<bool()> given;    ///< whether the option is on the command line
  std::function<bool()> applies;  ///< asked after the command line was read
  std::string option, when;       ///< "--bits", "--scores"
};

/// Refuses inputs that do not exist, outputs that name the same file or folder, and outputs that are an input, or an
/// existing file inside one. Files are compared by identity, so links and other spellings do not hide them.
void check_paths(const named_paths& paths);

/// A declared option, to be configured further.
class option {
 public:
  option& required();
  option& shows_default();  ///< prints the value that the variable has now as the default
  option& one_of(std::vector<std::string> values);
  option& positive();
  option& at_most(std::size_t largest);
  option& checked(std::function<std::string(const std::string&)> fault);  ///< what is wrong with a text, or ""
  option& separated_by(char delimiter);
  option& tells(bool& given);  ///< sets `given` if the option is given: a default gives way where a value is refused
  option& may_be_empty();      ///< otherwise an empty text is refused
  /// Refuses the option where it would be ignored. `when` says, for the message, with what it goes.
  option& only_if(std::function<bool()> applies, std::string when);
  option& reads();   ///< a file or folder that exists; checked before the work, like what `writes` says
  option& writes();  ///< a file or folder: not that of another option, nor an input or part of one

 private:
  friend class subcommand;
  option(CLI::Option* declared, std::shared_ptr<named_paths> paths, std::shared_ptr<std::vector<condition>> conditions)
      : declared_(declared), paths_(std::move(paths)), conditions_(std::move(conditions)) {}

  CLI::Option* declared_;
  std::shared_ptr<named_paths> paths_;                  ///< of the subcommand
  std::shared_ptr<std::vector<condition>> conditions_;  ///< of the subcommand
  const std::string* value_ = nullptr;                  ///< of an option whose value is text
  std::shared_ptr<bool> empty_allowed_ = std::make_shared<bool>(false);
};

/// One subcommand of the program: its options and the function that it runs.
class subcommand {
 public:
  subcommand(CLI::App& app, exit_status& status, const bool& runs, const std::vector<std::string>& arguments) noexcept
      : app_(&app), status_(&status), runs_(&runs), arguments_(&arguments) {}

  void footer(const std::string& text);
  /// Defined for std::string, unsigned and floating-point numbers, and vectors of std::string and double.
  /// `value` must outlive the command line.
  template<class Value>
  option add(const std::string& names, Value& value, const std::string& help);
  option add_flag(const std::string& name, bool& value, const std::string& help);
  option add_flag(const std::string& name, std::function<void()> set, const std::string& help);
  /// Of the program when it runs, without its name.
  [[nodiscard]] const std::vector<std::string>& arguments() const noexcept { return *arguments_; }
  /// Runs after the options are parsed.
  void runs(std::function<exit_status()> body);

 private:
  CLI::App* app_;
  exit_status* status_;
  const bool* runs_;
  const std::vector<std::string>* arguments_;
  std::shared_ptr<named_paths> paths_ = std::make_shared<named_paths>();
  std::shared_ptr<std::vector<condition>> conditions_ = std::make_shared<std::vector<condition>>();
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
  /// Parses the arguments and checks options and paths, but runs nothing. Returns what is wrong with the usage, or "".
  /// Errors: what the checks refuse.
  [[nodiscard]] std::string wrong_usage(int argc, const char* const* argv);

 private:
  std::unique_ptr<CLI::App> app_;
  exit_status status_ = exit_status::done;
  bool runs_ = true;
  std::vector<std::string> arguments_;
};

}  // namespace program
