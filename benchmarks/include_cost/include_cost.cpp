// What each header costs a translation unit that includes it: processor time, and lines after the preprocessor.
//
//   include_cost [repeats] [part of a header's name]
//
// Each header is compiled alone with -fsyntax-only. The result is the compiler's processor time (user and system, which
// depends little on other load) in the fastest of `repeats` runs (3), minus that of an empty file. Six headers of the
// standard library and Eigen/Dense are measured for comparison.

#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path scratch = fs::temp_directory_path() / "precis_include_cost";

std::string quoted(const std::string& text) { return "'" + text + "'"; }

std::string command(std::string_view mode) {
  return quoted(PRECIS_COMPILER) + " -std=c++20 " + std::string(mode) + " -I " + quoted(PRECIS_INCLUDE) + " -isystem " +
         quoted(PRECIS_EIGEN_INCLUDE) + " " + quoted((scratch / "one.cpp").string());
}

void write_source(const std::string& header) {
  std::ofstream source(scratch / "one.cpp");
  if (!header.empty()) source << "#include <" << header << ">\n";
}

/// Processor time of all programs run so far, in milliseconds.
double spent() {
  rusage used{};
  getrusage(RUSAGE_CHILDREN, &used);
  const auto ms = [](const timeval& t) {
    return 1e3 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_usec);
  };
  return ms(used.ru_utime) + ms(used.ru_stime);
}

/// Milliseconds of the fastest of `repeats` runs; infinity when the header does not compile.
double milliseconds(const std::string& header, int repeats) {
  write_source(header);
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repeats; ++i) {
    const double before = spent();
    if (std::system((command("-fsyntax-only") + " 2>/dev/null").c_str()) != 0)
      return std::numeric_limits<double>::infinity();
    best = std::min(best, spent() - before);
  }
  return best;
}

/// Lines of preprocessor output, not counting blank lines and line markers.
std::size_t lines(const std::string& header) {
  write_source(header);
  const fs::path out = scratch / "one.ii";
  if (std::system((command("-E -P") + " >" + quoted(out.string()) + " 2>/dev/null").c_str()) != 0) return 0;
  std::ifstream text(out);
  return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(text), {}, '\n'));
}

std::vector<std::string> headers() {
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(PRECIS_INCLUDE))
    if (entry.path().extension() == ".hpp")
      found.push_back(fs::relative(entry.path(), PRECIS_INCLUDE).generic_string());
  std::ranges::sort(found, [](const std::string& a, const std::string& b) {  // umbrellas first, then folder by folder
    const auto depth = [](const std::string& name) { return std::ranges::count(name, '/'); };
    return (depth(a) > 1) != (depth(b) > 1) ? depth(a) <= 1 : a < b;
  });
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  const int repeats = argc > 1 ? std::max(1, std::atoi(argv[1])) : 3;
  const std::string_view part = argc > 2 ? argv[2] : "";
  fs::create_directories(scratch);

  const double empty = milliseconds("", repeats);
  std::printf("%s, fastest of %d, empty file %.0f ms\n%9s %9s  header\n", PRECIS_COMPILER, repeats, empty, "ms",
              "lines");
  const auto report = [&](const std::string& header) {
    const double total = milliseconds(header, repeats);
    if (total == std::numeric_limits<double>::infinity())  // needs an instruction set that is not enabled
      std::printf("%9s %9s  %s\n", "-", "-", header.c_str());
    else
      std::printf("%9.0f %9zu  %s\n", std::max(0.0, total - empty), lines(header), header.c_str());
    std::fflush(stdout);
  };
  for (const char* header : {"span", "vector", "string", "algorithm", "functional", "iostream", "Eigen/Dense"})
    report(header);
  std::printf("\n");
  for (const std::string& header : headers())
    if (header.find(part) != std::string::npos) report(header);

  std::error_code ignored;
  fs::remove_all(scratch, ignored);
}
