#include "jobs/run_options.hpp"

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

namespace program {

void warn_of_refused_threads(std::size_t refused) {
  static std::atomic<bool> said{false};
  if (refused == 0 || said.exchange(true)) return;
  fmt::print(stderr,
             "precis: the system refused to start {} threads; the others do the work, and the results are the same\n",
             refused);
}

std::size_t worker_pool::threads_of(std::size_t i, std::size_t n) const {
  const std::size_t own = threads.threads != 0 ? threads.threads : std::max(1u, std::thread::hardware_concurrency());
  // A call of another pool's call has what that one was given.
  const std::size_t all = std::min(own, engine::shared_forward::threads().value_or(own));
  return n >= all ? 1 : all / n + (i < all % n ? 1 : 0);
}

code_fit agreed_fit(const std::vector<std::string>& notes, const run_options& o, const std::string& where) {
  const code_fit made_with = fit_of(notes).value_or(o.coder());
  if (o.fit_given && o.coder().tune && made_with.compensate) return o.coder();  // it begins with gptq
  if (o.fit_given && made_with != o.coder())
    precis::refuse(
        {.what = "it was made for --fit " + to_string(made_with),
         .where = where,
         .expected = "the same fit instead of --fit " + o.fit + ", or a table or plan that was made for it"});
  return made_with;
}

}  // namespace program
