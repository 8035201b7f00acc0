// What precis costs a translation unit that includes it, beside Eigen/Dense.
//
//   include_cost [rounds]            the cases below; fails if one misses its goal or regresses
//   include_cost --write [rounds]    the same, and writes the measured ratios to ratios.txt
//   include_cost --lines [part]      every header whose name contains `part`, with its lines after the preprocessor
//
// A case is a header that is only parsed (-fsyntax-only), or a small program that is compiled. Its result is the median
// of `rounds` runs (5) of the compiler's user time, as a ratio to the median for a file that includes Eigen/Dense and is
// compiled with the same options; the runs of both alternate. Ratios depend little on the machine and its other load.
// The program exits with 1 if a ratio exceeds its goal, or exceeds the one stored in ratios.txt by more than 20 % (and
// by 0.05). Peak memory is measured the same way, without a goal.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path scratch = fs::temp_directory_path() / ("precis_include_cost." + std::to_string(getpid()));
const fs::path folder = PRECIS_INCLUDE_COST;
const fs::path stored_ratios = folder / "ratios.txt";

struct cost {
  double seconds = std::numeric_limits<double>::infinity();  ///< of the processor, in user mode
  double megabytes = 0;                                      ///< peak
};

std::string quoted(const std::string& text) { return "'" + text + "'"; }

std::string command(const std::string& options, const fs::path& source) {
  return quoted(PRECIS_COMPILER) + " -std=c++20 " + options + " -I " + quoted(PRECIS_INCLUDE) + " -isystem " +
         quoted(PRECIS_EIGEN_INCLUDE) + " " + quoted(source.string());
}

/// Runs a shell command. Its cost is infinite if it fails.
cost run(const std::string& text) {
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", text.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  rusage used{};
  if (child < 0 || wait4(child, &status, 0, &used) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) return {};
  return {static_cast<double>(used.ru_utime.tv_sec) + 1e-6 * static_cast<double>(used.ru_utime.tv_usec),
          static_cast<double>(used.ru_maxrss) / 1024};
}

fs::path file_that_includes(const std::string& header) {
  std::string name = header;
  std::replace(name.begin(), name.end(), '/', '.');
  const fs::path source = scratch / (name + ".cpp");
  std::ofstream(source) << "#include <" << header << ">\n";
  return source;
}

cost compile(const std::string& options, const fs::path& source) {
  return run(command(options, source) + " -o " + quoted((scratch / "out.o").string()) + " 2>/dev/null");
}

std::vector<std::string> headers() {
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(PRECIS_INCLUDE))
    if (entry.path().extension() == ".hpp")
      found.push_back(fs::relative(entry.path(), PRECIS_INCLUDE).generic_string());
  std::sort(found.begin(), found.end());
  return found;
}

struct measured_case {
  std::string name;
  std::string options;
  fs::path source;
  double goal;  ///< the largest ratio
};

std::vector<measured_case> all_cases() {
  const std::string parse = "-fsyntax-only";
  std::vector<measured_case> cases{{"precis/precis.hpp", parse, file_that_includes("precis/precis.hpp"), 1.0},
                                   {"matvec -O2", "-O2 -c", folder / "programs/matvec.cpp", 1.5},
                                   {"multiply -O2", "-O2 -c", folder / "programs/multiply.cpp", 1.5},
                                   {"ten_lines -O0", "-O0 -c", folder / "programs/ten_lines.cpp", 3.0},
                                   {"ten_lines -O2", "-O2 -c", folder / "programs/ten_lines.cpp", 3.0}};
  // What compiles several programs in one: the clip search for three instruction sets, which needs all of <immintrin.h>, and
  // a table of costs with the kernels that it times.
  const std::map<std::string, double> larger{{"precis/fit/dispatched_fit.hpp", 1.5},
                                             {"precis/cost/product_times.hpp", 0.7}};
  for (const std::string& header : headers()) {  // one method each
    const std::string of = header.substr(0, header.rfind('/'));
    const auto own = larger.find(header);
    for (const char* stage : {"score", "cost", "allocate", "prune", "fit", "codec", "evaluate"})
      if (of == "precis/" + std::string(stage))
        cases.push_back({header, parse, file_that_includes(header), own == larger.end() ? 0.5 : own->second});
  }
  return cases;
}

/// Lines of preprocessor output, not counting blank lines and line markers.
std::size_t lines(const std::string& header) {
  const fs::path out = scratch / "one.ii";
  const std::string text = command("-E -P", file_that_includes(header)) + " >" + quoted(out.string()) + " 2>/dev/null";
  if (std::system(text.c_str()) != 0) return 0;
  std::ifstream file(out);
  return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return 0.5 * (values[(n - 1) / 2] + values[n / 2]);
}

struct ratios {
  double time = 0, memory = 0, seconds = 0, megabytes = 0;
};

ratios measure(const measured_case& c, std::size_t rounds) {
  const fs::path eigen = file_that_includes("Eigen/Dense");
  std::vector<double> seconds[2], megabytes[2];
  for (std::size_t r = 0; r < rounds; ++r)
    for (const std::size_t which : {0u, 1u}) {
      const cost k = compile(c.options, which == 0 ? eigen : c.source);
      seconds[which].push_back(k.seconds);
      megabytes[which].push_back(k.megabytes);
    }
  ratios q{.seconds = median(seconds[1]), .megabytes = median(megabytes[1])};
  q.time = q.seconds / median(seconds[0]);
  q.memory = q.megabytes / median(megabytes[0]);
  return q;
}

/// Lines of ratios.txt: time, memory, name.
std::map<std::string, ratios> read_stored() {
  std::map<std::string, ratios> stored;
  std::ifstream file(stored_ratios);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    ratios q;
    std::string name;
    if (line.empty() || line[0] == '#' || !(words >> q.time >> q.memory >> std::ws) || !std::getline(words, name))
      continue;
    stored[name] = q;
  }
  return stored;
}

int check(std::size_t rounds, bool write) {
  const std::map<std::string, ratios> stored = read_stored();
  std::ostringstream table;
  table << "# Ratios to Eigen/Dense, written by include_cost --write: user time, peak memory, case.\n";
  std::printf("%s, median of %zu, Eigen/Dense = 1\n%7s %7s %7s %7s %7s %6s  case\n", PRECIS_COMPILER, rounds, "time",
              "goal", "stored", "seconds", "memory", "MB");
  int wrong = 0;
  for (const measured_case& c : all_cases()) {
    const ratios q = measure(c, rounds);
    const auto before = stored.find(c.name);
    const auto rose = [](double now, double then) { return now > 1.2 * then && now > then + 0.05; };
    const bool missed = !(q.time <= c.goal);
    const bool regressed =
        before != stored.end() && (rose(q.time, before->second.time) || rose(q.memory, before->second.memory));
    std::printf("%7.2f %7.2f %7.2f %7.2f %7.2f %6.0f  %s%s%s\n", q.time, c.goal,
                before == stored.end() ? 0.0 : before->second.time, q.seconds, q.memory, q.megabytes, c.name.c_str(),
                missed ? "  MISSES ITS GOAL" : "", regressed ? "  REGRESSED" : "");
    std::fflush(stdout);
    wrong += missed || regressed ? 1 : 0;
    char line[32];
    std::snprintf(line, sizeof line, "%.2f %.2f ", q.time, q.memory);
    table << line << c.name << "\n";
  }
  if (write) std::ofstream(stored_ratios) << table.str();
  return wrong == 0 ? 0 : 1;
}

void list_lines(std::string_view part) {
  std::printf("%9s %9s  header\n", "ms", "lines");
  std::vector<std::string> all{"span", "vector", "string", "algorithm", "functional", "iostream", "Eigen/Dense"};
  for (std::string& header : headers())
    if (header.find(part) != std::string::npos) all.push_back(std::move(header));
  for (const std::string& header : all) {
    cost best;
    for (int i = 0; i < 3; ++i) {
      const cost k = compile("-fsyntax-only", file_that_includes(header));
      if (k.seconds < best.seconds) best = k;
    }
    if (best.seconds == std::numeric_limits<double>::infinity())  // needs an instruction set that is not enabled
      std::printf("%9s %9s  %s\n", "-", "-", header.c_str());
    else
      std::printf("%9.0f %9zu  %s\n", 1e3 * best.seconds, lines(header), header.c_str());
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  fs::create_directories(scratch);
  int status = 0;
  if (mode == "--lines") {
    list_lines(argc > 2 ? argv[2] : "");
  } else {
    const bool write = mode == "--write";
    const int given = argc > (write ? 2 : 1) ? std::atoi(argv[write ? 2 : 1]) : 5;
    status = check(static_cast<std::size_t>(std::max(1, given)), write);
  }
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  return status;
}
