#include "jobs/run_options.hpp"

#include <fmt/format.h>

#include <atomic>
#include <cstdio>

namespace program {

void warn_of_refused_threads(std::size_t refused) {
  static std::atomic<bool> said{false};
  if (refused == 0 || said.exchange(true)) return;
  fmt::print(stderr,
             "precis: the system refused to start {} threads; the others do the work, and the results are the same\n",
             refused);
}

}  // namespace program
