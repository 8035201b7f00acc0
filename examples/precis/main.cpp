#include "commands/commands.hpp"
#include "commands/version.hpp"
#include "jobs/progress.hpp"

#include <engine/files/model_kinds.hpp>

#include <precis/core/error.hpp>

#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>

namespace {

/// Names in messages may come from files and paths: what would disturb a terminal is escaped.
void say(std::string_view message) {
  const std::string line = precis::printable(message, 4000);
  std::fprintf(stderr, "precis: %s\n", line.c_str());
}

}  // namespace

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
    program::add_sweep(line);
    program::add_compare(line);
    program::add_eigenprune(line);
    program::catch_interrupts();
    return line.run(argc, argv);
  } catch (const program::stopped&) {
    std::fputs("precis: stopped; nothing was written\n", stderr);
    return 130;
  } catch (
      const precis::error& e) {  // each part is cut, so that the longest path leaves room for what is wrong with it
    say(precis::problem{.what = precis::printable(e.reason().what, 1000),
                        .where = precis::printable(e.reason().where, 600),
                        .expected = precis::printable(e.reason().expected, 1000)}
            .message());
    return 2;
  } catch (const std::bad_alloc&) {
    say("not enough memory; expected a smaller model or fewer bytes in use by other programs");
    return 1;
  } catch (const std::exception& e) {
    say(e.what());
    return 1;
  }
}
