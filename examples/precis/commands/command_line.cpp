#include "commands/command_line.hpp"

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <system_error>
#include <type_traits>
#include <utility>

namespace program {
namespace {

/// An empty text names nothing: it would count as an option that was not given.
std::string refused_value(const std::string& text, const std::string&) {
  return text.empty() ? "an empty text; expected a value, or leave the option out" : "";
}
/// What is wrong with the text of an unsigned number, or "". CLI11 itself lets "-1" wrap around.
template<std::unsigned_integral Value>
std::string refused_value(const std::string& text, Value) {
  Value value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range)
    return fmt::format("'{}' is too large; expected at most {}", text, std::numeric_limits<Value>::max());
  if (error != std::errc{} || rest != end)
    return fmt::format("'{}' is not a number that can be used here; expected a whole number of 0 or more", text);
  return {};
}
template<std::floating_point Value>
std::string refused_value(const std::string& text, Value) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const bool whole =
      !text.empty() && end == text.c_str() + text.size() && text.find_first_of(" \t\n") == std::string::npos;
  if (!whole || !std::isfinite(value) || !std::isfinite(static_cast<Value>(value)))
    return fmt::format("'{}' is not a number that can be used here; expected a finite number", text);
  return {};
}
template<class Value>
std::string refused_value(const std::string& text, const std::vector<Value>&) {
  return refused_value(text, Value{});
}

}  // namespace

option& option::required() {
  declared_->required();
  return *this;
}
option& option::shows_default() {
  declared_->capture_default_str();
  return *this;
}
option& option::one_of(std::vector<std::string> values) {
  declared_->check(CLI::IsMember(std::move(values)));
  return *this;
}
option& option::positive() {
  declared_->check(CLI::PositiveNumber);
  return *this;
}
option& option::checked(std::function<std::string(const std::string&)> fault) {
  declared_->check(
      CLI::Validator([fault = std::move(fault)](const std::string& text) { return fault(text); }, std::string()));
  return *this;
}
option& option::at_most(std::size_t largest) {
  return checked([largest](const std::string& text) -> std::string {
    std::size_t value = 0;  // texts that are no number have been refused
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value <= largest ? "" : fmt::format("'{}' is too large; expected at most {}", text, largest);
  });
}
option& option::separated_by(char delimiter) {
  declared_->delimiter(delimiter);
  return *this;
}

option& option::tells(bool& given) {
  declared_->each([&given](const std::string&) { given = true; });
  return *this;
}

option& option::may_be_empty() {
  *empty_allowed_ = true;
  return *this;
}
option& option::only_if(std::function<bool()> applies, std::string when) {
  conditions_->push_back({[this_option = declared_] { return this_option->count() > 0; }, std::move(applies),
                          declared_->get_name(), std::move(when)});
  return *this;
}
option& option::reads() {
  PRECIS_EXPECTS(value_ != nullptr, "a path is text");
  paths_->inputs.push_back({declared_->get_name(), value_});
  return *this;
}
option& option::writes() {
  PRECIS_EXPECTS(value_ != nullptr, "a path is text");
  paths_->outputs.push_back({declared_->get_name(), value_});
  return *this;
}

void check_paths(const named_paths& paths) {
  namespace fs = std::filesystem;
  using named = named_paths::path;
  std::error_code ignored;
  const auto refuse = [](const named& of, std::string what, std::string expected) {
    precis::refuse({.what = std::move(what), .where = of.option + " " + *of.value, .expected = std::move(expected)});
  };
  const auto given = [](const std::vector<named>& all) {
    std::vector<named> some;
    for (const named& each : all)
      if (!each.value->empty()) some.push_back(each);
    return some;
  };
  const std::vector<named> inputs = given(paths.inputs), outputs = given(paths.outputs);
  for (const named& input : inputs)
    if (std::error_code fault; !fs::exists(*input.value, fault))
      refuse(input, fault ? "cannot be opened (" + fault.message() + ")" : "does not exist",
             "a file or folder to read");
  for (const named& output : outputs) {
    const fs::path whole = fs::weakly_canonical(fs::absolute(*output.value), ignored);
    for (const named& other : outputs)
      if (&other != &output && fs::weakly_canonical(fs::absolute(*other.value), ignored) == whole)
        refuse(output, "is also " + other.option + " " + *other.value, "a file of its own");
    if (!fs::exists(whole, ignored)) continue;
    for (const named& input : inputs) {
      if (fs::equivalent(whole, *input.value, ignored))
        refuse(output, "is the input " + input.option + " itself", "another name: the input would be overwritten");
      for (fs::path folder = whole.parent_path(); !fs::is_directory(whole, ignored); folder = folder.parent_path()) {
        if (fs::equivalent(folder, *input.value, ignored))
          refuse(output, "is a file of the input " + input.option,
                 "a new name, or one outside that folder: the input would be overwritten");
        if (folder == folder.parent_path()) break;
      }
    }
  }
}

void subcommand::footer(const std::string& text) { app_->footer(text); }

template<class Value>
option subcommand::add(const std::string& names, Value& value, const std::string& help) {
  CLI::Option* const declared = app_->add_option(names, value, help);
  option added(declared, paths_, conditions_);
  declared->check(CLI::Validator(
      [may_be_empty = added.empty_allowed_](const std::string& text) {
        return *may_be_empty && text.empty() ? std::string() : refused_value(text, Value{});
      },
      std::string()));
  if constexpr (std::is_same_v<Value, std::string>) added.value_ = &value;
  return added;
}
template option subcommand::add(const std::string&, std::string&, const std::string&);
template option subcommand::add(const std::string&, unsigned&, const std::string&);
template option subcommand::add(const std::string&, unsigned long&, const std::string&);
template option subcommand::add(const std::string&, unsigned long long&, const std::string&);
template option subcommand::add(const std::string&, float&, const std::string&);
template option subcommand::add(const std::string&, double&, const std::string&);
template option subcommand::add(const std::string&, std::vector<std::string>&, const std::string&);
template option subcommand::add(const std::string&, std::vector<double>&, const std::string&);

option subcommand::add_flag(const std::string& name, bool& value, const std::string& help) {
  return {app_->add_flag(name, value, help), paths_, conditions_};
}
option subcommand::add_flag(const std::string& name, std::function<void()> set, const std::string& help) {
  return {app_->add_flag_callback(name, std::move(set), help), paths_, conditions_};
}
void subcommand::runs(std::function<exit_status()> body) {
  app_->callback([body = std::move(body), status = status_, really = runs_, paths = paths_, conditions = conditions_] {
    for (const condition& c : *conditions)
      if (c.given() && !c.applies())
        precis::refuse({.what = "would be ignored", .where = c.option, .expected = "it only with " + c.when});
    check_paths(*paths);
    if (*really) *status = body();
  });
}

command_line::command_line(const std::string& name, const std::string& description, const std::string& footer)
    : app_(std::make_unique<CLI::App>(description, name)) {
  app_->footer(footer);
  app_->require_subcommand(0, 1);  // `run` requires one: CLI11 would not name a misspelt one
  app_->fallthrough(false);
}

command_line::~command_line() = default;

subcommand command_line::add(const std::string& name, const std::string& description) {
  return {*app_->add_subcommand(name, description), status_, runs_, arguments_};
}

void command_line::version(const std::string& text) {
  app_->set_version_flag("--version", text, "print the version and what the program is built with");
}

int command_line::run(int argc, const char* const* argv) {
  arguments_.assign(argv + std::min(argc, 1), argv + argc);
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app_->exit(e);  // help, version
    fmt::print(stderr, "precis: {}\nRun with --help for more information.\n", precis::printable(e.what(), 1000));
    return 2;
  }
  if (app_->get_subcommands().empty()) {
    fmt::print(stderr, "precis: no subcommand given; expected one of the subcommands below\n\n{}", app_->help());
    return 2;
  }
  return static_cast<int>(status_);
}

std::string command_line::wrong_usage(int argc, const char* const* argv) {
  runs_ = false;
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return e.what();
  }
  return app_->get_subcommands().empty() ? "no subcommand given" : "";
}

}  // namespace program
