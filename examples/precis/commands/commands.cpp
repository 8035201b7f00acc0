#include "commands/commands.hpp"

namespace program {

void add_all(command_line& line) {
  for (void (*const add)(command_line&) : {add_demo, add_evaluate, add_score, add_trace, add_calibrate, add_cost,
                                           add_merge, add_evolve, add_plan, add_compress, add_generate, add_tokenize,
                                           add_embed, add_inspect, add_imatrix, add_sweep, add_compare, add_eigenprune})
    add(line);
}

}  // namespace program
