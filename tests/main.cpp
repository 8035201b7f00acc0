// The main function of every test program. It also counts the test cases that were skipped because shared data is
// missing.

#define CATCH_CONFIG_RUNNER
#include "catch.hpp"
#include "shared.hpp"

#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <set>
#include <string>

namespace {

struct tally {
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::set<std::string> skipped = {};
  std::string running = {};
};

tally& counts() {
  static tally t;
  return t;
}

#if __has_include(<catch2/catch_all.hpp>)
using listener = Catch::EventListenerBase;
#else
using listener = Catch::TestEventListenerBase;
#endif

struct counting : listener {
  using listener::listener;

  void testCaseStarting(const Catch::TestCaseInfo& info) override { counts().running = info.name; }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    const std::string& name = stats
                                  .testInfo
#if __has_include(<catch2/catch_all.hpp>)
                                  ->name;
#else
                                  .name;
#endif
    if (stats.totals.assertions.failed + stats.totals.testCases.failed > 0) {
      ++counts().failed;
      counts().skipped.erase(name);
    } else if (!counts().skipped.contains(name)) {
      ++counts().passed;
    }
  }
};
CATCH_REGISTER_LISTENER(counting)

std::filesystem::path shared_root() {
  if (const char* named = std::getenv("PRECIS_SHARED"); named != nullptr && *named != '\0') return named;
  return std::filesystem::path(PRECIS_SOURCE_DIR).parent_path() / "shared";
}

}  // namespace

std::optional<std::filesystem::path> shared_path(std::string_view relative) {
  std::filesystem::path path = shared_root() / relative;
  std::error_code fault;
  if (std::filesystem::exists(path, fault)) return path;
  if (counts().skipped.insert(counts().running).second)
    std::cout << "SKIPPED: " << counts().running << " needs PRECIS_SHARED/" << relative << '\n';
  return std::nullopt;
}

int main(int argc, char** argv) {
  const int result = Catch::Session().run(argc, argv);
  const tally& t = counts();
  if (t.passed + t.failed + t.skipped.size() > 0)  // nothing ran when tests were only listed
    std::cout << t.passed << " passed, " << t.failed << " failed, " << t.skipped.size() << " skipped" << std::endl;
  return result;
}
