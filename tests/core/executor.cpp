#include <precis/core/executor.hpp>

#include "catch.hpp"

#include <cstddef>
#include <functional>
#include <set>
#include <thread>
#include <vector>

using namespace precis;

static_assert(executor<const sequential> && !executor<int>);

namespace {

/// An executor that takes its body as a std::function.
struct reversed {
  void for_each(std::size_t n, const std::function<void(std::size_t)>& body) const {
    while (n > 0) body(--n);
  }
};
static_assert(executor<const reversed>);

}  // namespace

TEST_CASE("sequential runs in order on the calling thread", "[core][executor][property]") {
  std::vector<std::size_t> order;
  std::set<std::thread::id> thread_ids;
  sequential{}.for_each(5, [&](std::size_t i) {
    order.push_back(i);
    thread_ids.insert(std::this_thread::get_id());
  });
  CHECK(order == std::vector<std::size_t>{0, 1, 2, 3, 4});
  CHECK(thread_ids == std::set<std::thread::id>{std::this_thread::get_id()});
}
