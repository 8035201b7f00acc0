#include "commands/command_line.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <utility>

namespace program {

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
option& option::separated_by(char delimiter) {
  declared_->delimiter(delimiter);
  return *this;
}

void subcommand::footer(const std::string& text) { app_->footer(text); }

template<class Value>
option subcommand::add(const std::string& names, Value& value, const std::string& help) {
  return option(app_->add_option(names, value, help));
}
template option subcommand::add(const std::string&, std::string&, const std::string&);
template option subcommand::add(const std::string&, unsigned&, const std::string&);
template option subcommand::add(const std::string&, unsigned long&, const std::string&);
template option subcommand::add(const std::string&, unsigned long long&, const std::string&);
template option subcommand::add(const std::string&, float&, const std::string&);
template option subcommand::add(const std::string&, double&, const std::string&);
template option subcommand::add(const std::string&, std::vector<std::string>&, const std::string&);
template option subcommand::add(const std::string&, std::vector<double>&, const std::string&);

void subcommand::add_flag(const std::string& name, bool& value, const std::string& help) {
  app_->add_flag(name, value, help);
}
void subcommand::add_flag(const std::string& name, std::function<void()> set, const std::string& help) {
  app_->add_flag_callback(name, std::move(set), help);
}
void subcommand::runs(std::function<exit_status()> body) {
  app_->callback([body = std::move(body), status = status_] { *status = body(); });
}

command_line::command_line(const std::string& name, const std::string& description, const std::string& footer)
    : app_(std::make_unique<CLI::App>(description, name)) {
  app_->footer(footer);
  app_->require_subcommand(0, 1);  // `run` requires one: CLI11 would not name a misspelt one
  app_->fallthrough(false);
}

command_line::~command_line() = default;

subcommand command_line::add(const std::string& name, const std::string& description) {
  return {*app_->add_subcommand(name, description), status_};
}

void command_line::version(const std::string& text) {
  app_->set_version_flag("--version", text, "print the version and what the program is built with");
}

int command_line::run(int argc, const char* const* argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app_->exit(e) == 0 ? 0 : 2;
  }
  if (app_->get_subcommands().empty()) {
    fmt::print(stderr, "precis: no subcommand given; expected one of the subcommands below\n\n{}", app_->help());
    return 2;
  }
  return static_cast<int>(status_);
}

}  // namespace program
