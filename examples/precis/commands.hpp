#pragma once

#include <CLI/CLI.hpp>

/// One function a subcommand: each declares its options on `app` and runs when they are parsed.
namespace program {

enum class exit_status { done = 0, stopped = 130 };

void add_demo(CLI::App& app, exit_status& status);
void add_evaluate(CLI::App& app, exit_status& status);
void add_score(CLI::App& app, exit_status& status);
void add_trace(CLI::App& app, exit_status& status);
void add_plan(CLI::App& app, exit_status& status);
void add_cost(CLI::App& app, exit_status& status);
void add_evolve(CLI::App& app, exit_status& status);
void add_eigenprune(CLI::App& app, exit_status& status);
void add_compare(CLI::App& app, exit_status& status);
void add_compress(CLI::App& app, exit_status& status);
void add_generate(CLI::App& app, exit_status& status);
void add_sweep(CLI::App& app, exit_status& status);

}  // namespace program
