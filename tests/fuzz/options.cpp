// Bytes are read as the arguments of the program, separated by NULs. They are parsed, and options and paths are checked;
// no subcommand runs.

#include "commands/command_line.hpp"
#include "commands/commands.hpp"

#include <precis/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

/// The program's command line. It is declared once: a parse forgets the one before.
program::command_line& declared() {
  static program::command_line line("precis", "fuzz", "");
  static const bool once = (program::add_all(line), true);
  static_cast<void>(once);
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> words{"precis"};
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  while (!rest.empty() && words.size() < 64) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    words.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::vector<const char*> arguments;
  for (const std::string& w : words) arguments.push_back(w.c_str());
  try {
    (void)declared().wrong_usage(static_cast<int>(arguments.size()), arguments.data());
  } catch (const precis::error& e) {
    if (std::string_view(e.what()).find("; expected ") == std::string_view::npos) std::abort();
  }
  return 0;
}
