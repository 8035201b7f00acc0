#include "commands.hpp"
#include "progress.hpp"

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

/// Exit codes: 0 done, 2 bad input or usage, 130 stopped by Ctrl-C, 1 anything else.
int main(int argc, char** argv) {
  CLI::App app{
      "precis measures what a network can afford to lose, spends bits where they matter, and packs the result.",
      "precis"};
  app.footer(
      "Start with:  precis demo\n"
      "Each subcommand explains itself:  precis evaluate --help\n"
      "MODEL is a Hugging Face folder (GPT-2, OPT or Llama), a llama2.c .bin file, or a folder that compress wrote.");
  app.require_subcommand(0, 1);  // asked for below: CLI11 would not name a misspelt one
  app.fallthrough(false);
  program::exit_status status = program::exit_status::done;
  program::add_demo(app, status);
  program::add_evaluate(app, status);
  program::add_score(app, status);
  program::add_trace(app, status);
  program::add_cost(app, status);
  program::add_evolve(app, status);
  program::add_plan(app, status);
  program::add_compress(app, status);
  program::add_generate(app, status);
  program::add_sweep(app, status);
  program::add_compare(app, status);
  program::add_eigenprune(app, status);
  program::catch_interrupts();
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) {
      fmt::print(stderr, "precis: no subcommand given; expected one of the subcommands below\n\n{}", app.help());
      return 2;
    }
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const program::stopped&) {
    fmt::print(stderr, "precis: stopped; nothing was written\n");
    return 130;
  } catch (const precis::error& e) {
    fmt::print(stderr, "precis: {}\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "precis: {}\n", e.what());
    return 1;
  }
  return static_cast<int>(status);
}
