#include <engine/model/family_table.hpp>

#include "catch.hpp"

#include <fstream>
#include <sstream>
#include <string>

TEST_CASE("docs/families.md has the table of families that the code makes", "[engine][docs]") {
  std::ostringstream page;
  page << std::ifstream(PRECIS_SOURCE_DIR "/docs/families.md").rdbuf();
  REQUIRE_FALSE(page.str().empty());
  INFO("the table is now:\n" << engine::family_table());
  CHECK(page.str().find("\n" + engine::family_table() + "\n") != std::string::npos);
}
