#include <precis/core/thread_pool.hpp>

#include "catch.hpp"
#include "no_threads.hpp"

#include <atomic>
#include <cmath>
#include <cstddef>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace precis;

static_assert(executor<const sequential> && executor<const thread_pool>);

namespace {

/// A typical stage: slots are filled in any order and summed in index order.
template<executor E>
double sum_of_slots(E&& run, std::size_t n) {
  std::vector<double> slot(n);
  run.for_each(n, [&](std::size_t i) { slot[i] = std::sin(static_cast<double>(i)) * 1e-3; });
  double sum = 0;
  for (const double s : slot) sum += s;
  return sum;
}

}  // namespace

TEST_CASE("every index runs once", "[core][thread_pool][property]") {
  const std::size_t threads = GENERATE(0u, 1u, 2u, 3u, 8u, 64u);
  const std::size_t n = GENERATE(0u, 1u, 2u, 7u, 1000u);
  std::vector<std::atomic<int>> runs(n);
  thread_pool{threads}.for_each(n, [&](std::size_t i) { ++runs[i]; });
  for (const std::atomic<int>& r : runs) REQUIRE(r == 1);
}

TEST_CASE("the result is bit-identical for every number of threads", "[core][thread_pool][property]") {
  const double expected = sum_of_slots(sequential{}, 5000);
  for (std::size_t threads = 1; threads <= 9; ++threads) CHECK(sum_of_slots(thread_pool{threads}, 5000) == expected);
}

TEST_CASE("a pool of two works on two threads", "[core][thread_pool][property]") {
  // Indices 0 and 1 wait for each other, so on one thread this test would never end.
  std::atomic<int> arrived{0};
  std::mutex guard;
  std::set<std::thread::id> thread_ids;
  thread_pool{2}.for_each(2, [&](std::size_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
    const std::lock_guard lock(guard);
    thread_ids.insert(std::this_thread::get_id());
  });
  CHECK(thread_ids.size() == 2);
}

TEST_CASE("for_each rethrows the exception of the lowest index that threw", "[core][thread_pool][property]") {
  const std::size_t threads = GENERATE(1u, 2u, 4u);
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::string message;
    try {
      thread_pool{threads}.for_each(100, [](std::size_t i) {
        if (i >= 41 && i % 2 == 1) throw std::runtime_error(std::to_string(i));
      });
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    REQUIRE(message == "41");
  }
}

TEST_CASE("a pool works again after a failure", "[core][thread_pool][property]") {
  const thread_pool pool{3};
  CHECK_THROWS_AS(pool.for_each(10, [](std::size_t) { throw std::logic_error("no"); }), std::logic_error);
  std::atomic<int> runs{0};
  pool.for_each(10, [&](std::size_t) { ++runs; });
  CHECK(runs == 10);
}

#ifdef PRECIS_CAN_REFUSE_THREADS
TEST_CASE("threads that the system refuses are counted, and the others do the work", "[core][thread_pool][property]") {
  std::vector<std::atomic<int>> runs(100);
  {
    const test::no_threads refused;
    CHECK(thread_pool{4}.for_each(runs.size(), [&](std::size_t i) { ++runs[i]; }) == 3);
  }
  for (const std::atomic<int>& r : runs) REQUIRE(r == 1);
  CHECK(thread_pool{4}.for_each(runs.size(), [&](std::size_t i) { ++runs[i]; }) == 0);
  CHECK(thread_pool{1}.for_each(0, [](std::size_t) {}) == 0);
}
#endif
