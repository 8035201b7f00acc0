#include <report/heatmap.hpp>
#include <report/png.hpp>

#include "catch.hpp"
#include "temporary_folder.hpp"

#include <precis/core/error.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

using namespace report;
namespace fs = std::filesystem;

namespace {

/// A folder with special characters in its name, removed at the end.
struct workshop {
  const temporary_folder owner{"report 'test' \"$(x)\""};
  const fs::path folder = owner.path();

  /// A shell script in place of a converter.
  void program(const std::string& name, const std::string& script) const {
    std::ofstream(folder / name) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(folder / name, fs::perms::owner_all);
  }
  [[nodiscard]] std::size_t files() const { return owner.entries(); }
};

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const std::string head = "\x89PNG\r\n\x1a\n", tail("IEND\xae\x42\x60\x82", 8);
const std::string speak_png = "printf '\\211PNG\\r\\n\\032\\n'; /bin/cat; printf 'IEND\\256B`\\202'";

}  // namespace

TEST_CASE("save_png passes the picture to the converter and keeps its output", "[report][png][worked-example]") {
  const workshop w;
  w.program("rsvg-convert", speak_png);
  const fs::path target = w.folder / "a name; with 'quotes' & blanks.png";
  CHECK(save_png("<svg/>", target, {.search_path = w.folder.string()}));
  CHECK(read(target) == head + "<svg/>" + tail);
  CHECK(w.files() == 2);  // nothing else is left behind
}

TEST_CASE("save_png returns false without a converter", "[report][png][refusal]") {
  const workshop w;
  for (const std::string& path :
       {w.folder.string(), std::string("/nonexistent"), std::string(":::"), std::string(".")}) {
    CHECK_FALSE(save_png("<svg/>", w.folder / "out.png", {.search_path = path}));
    CHECK(w.files() == 0);
  }
}

TEST_CASE("save_png skips converters that fail, hang or write another format", "[report][png][property]") {
  const workshop w;
  w.program("rsvg-convert", "exit 1");
  w.program("inkscape", "exec sleep 100");
  w.program("magick", "echo not a picture");
  const png_options options{.search_path = w.folder.string(), .seconds = 1};
  CHECK_FALSE(save_png("<svg/>", w.folder / "out.png", options));
  CHECK(w.files() == 3);
  w.program("convert", speak_png);
  CHECK(save_png("<svg/>", w.folder / "out.png", options));
  CHECK(read(w.folder / "out.png") == head + "<svg/>" + tail);
}

TEST_CASE("save_png converts a picture larger than a pipe buffer", "[report][png][property]") {
  const workshop w;
  w.program("rsvg-convert", speak_png);
  const std::string large(3'000'000, 'x');
  CHECK(save_png(large, w.folder / "out.png", {.search_path = w.folder.string()}));
  CHECK(read(w.folder / "out.png") == head + large + tail);
}

TEST_CASE("save_png refuses a target that cannot be written", "[report][png][refusal]") {
  const workshop w;
  w.program("rsvg-convert", speak_png);
  CHECK_THROWS_AS(save_png("<svg/>", w.folder / "missing" / "out.png", {.search_path = w.folder.string()}),
                  precis::error);
}

TEST_CASE("save_png with an installed converter writes a PNG of the requested size", "[report][png][oracle]") {
  const workshop w;
  const trace_map map{.prompt = "p",
                      .answer = "a",
                      .tokens = {{"t"}},
                      .layers = 1,
                      .panels = {{"panel", {0.5}}},
                      .p_low = 0,
                      .p_clean = 1};
  const std::string svg = draw(map);
  const double width = std::strtod(svg.c_str() + svg.find(" width=\"") + 8, nullptr);
  if (!save_png(svg, w.folder / "out.png", {.zoom = 3})) {
    WARN("SKIPPED: no converter from SVG to PNG on PATH");
    return;
  }
  const std::string png = read(w.folder / "out.png");
  const auto byte = [&](std::size_t i) { return static_cast<double>(static_cast<unsigned char>(png[i])); };
  CHECK(byte(18) * 256 + byte(19) == Approx(3 * width).margin(1));  // IHDR: width is bytes 16 to 19
}
