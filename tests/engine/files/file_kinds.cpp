#include <engine/files/file_kinds.hpp>

#include "catch.hpp"

#include <fstream>
#include <sstream>
#include <string>

TEST_CASE("docs/files.md has the table of kinds of files that the code makes", "[engine][docs]") {
  std::ostringstream page;
  page << std::ifstream(PRECIS_SOURCE_DIR "/docs/files.md").rdbuf();
  INFO("the table is now:\n" << engine::file_kind_table());
  CHECK(page.str().find("\n" + engine::file_kind_table() + "\n") != std::string::npos);
}
