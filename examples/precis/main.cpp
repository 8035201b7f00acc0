#include "commands/commands.hpp"
#include "commands/version.hpp"
#include "jobs/progress.hpp"

#include <engine/files/model_kinds.hpp>

#include <precis/core/error.hpp>

#include <cstdio>
#include <exception>

/// Exit codes: 0 done, 2 bad input or usage, 130 stopped by Ctrl-C, 1 anything else.
int main(int argc, char** argv) {
  try {
    program::command_line line(
        "precis",
        "precis measures what a network can afford to lose, spends bits where they matter, and packs the result.",
        "Start with:  precis demo\n"
        "Each subcommand has its own help:  precis evaluate --help\n"
        "MODEL is " +
            engine::readable_language_models() +
            ".\n`evaluate` also takes a classifier: " + engine::readable_classifiers() + ".");
    line.version(program::version_text());
    program::add_demo(line);
    program::add_evaluate(line);
    program::add_score(line);
    program::add_trace(line);
    program::add_cost(line);
    program::add_evolve(line);
    program::add_plan(line);
    program::add_compress(line);
    program::add_generate(line);
    program::add_tokenize(line);
    program::add_sweep(line);
    program::add_compare(line);
    program::add_eigenprune(line);
    program::catch_interrupts();
    return line.run(argc, argv);
  } catch (const program::stopped&) {
    std::fputs("precis: stopped; nothing was written\n", stderr);
    return 130;
  } catch (const precis::error& e) {
    std::fprintf(stderr, "precis: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "precis: %s\n", e.what());
    return 1;
  }
}
