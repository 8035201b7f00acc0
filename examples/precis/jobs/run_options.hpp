#pragma once

#include "jobs/progress.hpp"

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include <cstddef>
#include <string>

namespace program {

/// The options that every subcommand has.
struct run_options {
  std::string json;         ///< file for the result as JSON; empty: none
  std::size_t threads = 0;  ///< 0: one per processor
  bool quiet = false;

  [[nodiscard]] chatter how() const noexcept { return quiet ? chatter::quiet : chatter::normal; }
  [[nodiscard]] precis::thread_pool pool() const noexcept { return {threads}; }
};

}  // namespace program
