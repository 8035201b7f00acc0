#include "commands/commands.hpp"
#include "jobs/output.hpp"
#include "jobs/parts.hpp"

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace program {
namespace {

struct merge_command {
  std::vector<std::string> parts;
  std::string out;
};

/// A file that is removed at the end.
struct scratch_file {
  std::filesystem::path path;
  explicit scratch_file(std::filesystem::path p) : path(std::move(p)) {}
  scratch_file(const scratch_file&) = delete;
  scratch_file& operator=(const scratch_file&) = delete;
  ~scratch_file() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

/// The command that wrote the parts finishes the job: it finds every cell, so it computes none.
exit_status run(const merge_command& o) {
  require_writable({o.out});
  for (const std::string& part : o.parts) {
    std::error_code ignored;
    if (std::filesystem::equivalent(part, o.out, ignored))
      precis::refuse({.what = "is one of the parts", .where = "--out " + o.out, .expected = "another file"});
  }
  const scratch_file cells(o.out + fmt::format(".merged-{}", ::getpid()));
  merged_parts merged = merge_parts(o.parts, cells.path, o.out);
  fmt::print("parts  {}: {} cells\n", o.parts.size(), merged.cells);
  std::vector<std::string>& words = merged.arguments;
  words.insert(words.begin(), "precis");
  std::vector<const char*> arguments;
  for (const std::string& word : words) arguments.push_back(word.c_str());
  command_line line("precis", "", "");
  add_all(line);
  const int status = line.run(static_cast<int>(arguments.size()), arguments.data());
  if (status != 0 && status != static_cast<int>(exit_status::stopped))
    precis::refuse({.what = "the command of the parts cannot be run again",
                    .where = o.parts.front(),
                    .expected = "parts that this version wrote"});
  return static_cast<exit_status>(status);
}

}  // namespace

void add_merge(command_line& line) {
  auto o = std::make_shared<merge_command>();
  subcommand c = line.add("merge", "put the parts of a job together that several processes computed");
  c.footer(
      "Example, on one machine or on three that see the same files:\n"
      "  precis cost MODEL --text calibration.txt --shard 1/3 --out part1     (2/3 --out part2, 3/3 --out part3)\n"
      "  precis merge part1 part2 part3 --out model.costs\n"
      "The result has the bytes of the job as a whole. The model and the data must be where the parts' commands "
      "found\n"
      "them, because the command is run again, with all its cells known, to write what it writes.");
  c.add("PARTS", o->parts, "the files of all parts, in any order").required();
  c.add("--out", o->out, "the job's result: a table, or for evaluate its JSON").required().writes();
  c.runs([o] { return run(*o); });
}

}  // namespace program
