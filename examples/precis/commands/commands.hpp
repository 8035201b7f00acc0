#pragma once

#include "commands/command_line.hpp"

/// One function per subcommand, each in the file of its name: it declares the options and what to run.
namespace program {

/// All of them, in the order of the program's help.
void add_all(command_line& line);

void add_demo(command_line& line);
void add_evaluate(command_line& line);
void add_score(command_line& line);
void add_trace(command_line& line);
void add_plan(command_line& line);
void add_cost(command_line& line);
void add_evolve(command_line& line);
void add_eigenprune(command_line& line);
void add_compare(command_line& line);
void add_calibrate(command_line& line);
void add_compress(command_line& line);
void add_imatrix(command_line& line);
void add_inspect(command_line& line);
void add_merge(command_line& line);
void add_generate(command_line& line);
void add_sweep(command_line& line);
void add_tokenize(command_line& line);
void add_embed(command_line& line);

}  // namespace program
