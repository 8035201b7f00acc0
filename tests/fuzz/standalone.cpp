// Runs a fuzz target without libFuzzer: every file named on the command line (folders: every file in them), then
// `--runs N` deterministic mutations of them. Run I depends only on (--seed, I) and the inputs; `--only I` repeats one.

#include <precis/core/random.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using input = std::vector<std::uint8_t>;

volatile std::sig_atomic_t current = -1;  // the current run, for the message after a crash

extern "C" void report(int signal) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), static_cast<long>(current)).ptr;
  constexpr std::string_view text = "fuzz: crashed; repeat with --only ";
  (void)!::write(2, text.data(), text.size());
  (void)!::write(2, digits.data(), static_cast<std::size_t>(end - digits.data()));
  (void)!::write(2, "\n", 1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

/// Consecutive draws from one random stream.
struct dice {
  precis::random_stream stream;
  std::uint64_t next = 0;
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(stream.below(next++, n)); }
};

constexpr std::array<std::uint64_t, 12> edges{
    0, 1, 2, 7, 255, 256, 0x7FFF, 0xFFFF, 0x7FFF'FFFF, 0xFFFF'FFFF, 0x7FFF'FFFF'FFFF'FFFF, ~0ull};
constexpr std::array<std::string_view, 14> words{"0",
                                                 "-1",
                                                 "1e999",
                                                 "18446744073709551615",
                                                 "18446744073709551616",
                                                 "null",
                                                 "true",
                                                 "\"\"",
                                                 "[]",
                                                 "{}",
                                                 "NaN",
                                                 "\xFF\xFE",
                                                 "\xE2\x80",
                                                 "[[[[[[[["};

void mutate(input& x, const std::vector<input>& all, dice& d) {
  const std::size_t at = x.empty() ? 0 : d.below(x.size());
  const std::size_t length = x.empty() ? 0 : std::min<std::size_t>(x.size() - at, 1 + d.below(16));
  const auto here = x.begin() + static_cast<std::ptrdiff_t>(at);
  switch (x.empty() ? 7 : d.below(9)) {
    case 0: x[at] ^= static_cast<std::uint8_t>(1u << d.below(8)); break;
    case 1: x[at] = static_cast<std::uint8_t>(d.below(256)); break;
    case 2: x.erase(here, here + static_cast<std::ptrdiff_t>(length)); break;
    case 3: x.resize(at); break;
    case 4: {  // duplicate a range
      const input part(here, here + static_cast<std::ptrdiff_t>(length));
      x.insert(here, part.begin(), part.end());
      break;
    }
    case 5: {  // a number of 4 or 8 bytes
      const std::uint64_t value = edges[d.below(edges.size())];
      const std::size_t width = d.below(2) == 0 ? 4 : 8;
      for (std::size_t i = 0; i < width && at + i < x.size(); ++i)
        x[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
      break;
    }
    case 6: {  // a number in decimal
      const auto digit = std::find_if(here, x.end(), [](std::uint8_t c) { return c >= '0' && c <= '9'; });
      const auto end = std::find_if(digit, x.end(), [](std::uint8_t c) { return c < '0' || c > '9'; });
      const std::string value = std::to_string(edges[d.below(edges.size())]);
      x.insert(x.erase(digit, end), value.begin(), value.end());
      break;
    }
    case 7: {
      const std::string_view word = words[d.below(words.size())];
      x.insert(here, word.begin(), word.end());
      break;
    }
    default: {  // the tail of another input
      const input& other = all[d.below(all.size())];
      if (other.empty()) break;
      x.resize(at);
      x.insert(x.end(), other.begin() + static_cast<std::ptrdiff_t>(d.below(other.size())), other.end());
    }
  }
}

void load(const std::filesystem::path& path, std::vector<input>& all) {
  if (std::filesystem::is_directory(path)) {
    std::vector<std::filesystem::path> files;  // sorted by name, because the order of a folder is unspecified
    for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& file : files) load(file, all);
    return;
  }
  std::ifstream file(path, std::ios::binary);
  all.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t runs = 0, seed = 1, first = 0;
  std::vector<input> all;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const auto number = [&](std::uint64_t& into) {
      const std::string_view value = i + 1 < argc ? argv[++i] : "";
      if (std::from_chars(value.data(), value.data() + value.size(), into).ec == std::errc{}) return true;
      std::fprintf(stderr, "fuzz: expected a number after %s\n", argv[i - 1]);
      return false;
    };
    if (word == "--runs") {
      if (!number(runs)) return 2;
    } else if (word == "--seed") {
      if (!number(seed)) return 2;
    } else if (word == "--only") {
      if (!number(first)) return 2;
      runs = first + 1;
    } else {
      load(argv[i], all);
    }
  }
  if (all.empty()) {
    std::fputs("fuzz: no inputs; expected files or folders\n", stderr);
    return 2;
  }
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGILL}) std::signal(signal, report);

  if (first == 0)
    for (const input& x : all) LLVMFuzzerTestOneInput(x.data(), x.size());
  for (std::uint64_t run = first; run < runs; ++run) {
    current = static_cast<std::sig_atomic_t>(run);
    dice d{precis::random_stream(seed, run)};
    input x = all[d.below(all.size())];
    for (std::size_t n = 1 + d.below(6); n > 0; --n) mutate(x, all, d);
    LLVMFuzzerTestOneInput(x.data(), x.size());
  }
  std::printf("fuzz: %zu inputs and %llu mutations passed\n", all.size(),
              static_cast<unsigned long long>(runs - first));
}
