// Text per second through whole tokenizers, on one thread: of the model in examples/models/world, and of every folder that
// the environment variable PRECIS_TOKENIZERS names, separated by colons. PRECIS_TEXT names the text (default: the model's
// held-out text, repeated).
//
// Counters: bytes of text per second; tokens per text.

#include <engine/files/files.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string text() {
  const std::string given = variable("PRECIS_TEXT");
  if (!given.empty()) return std::string(engine::mapped_file(given).text());
  const engine::mapped_file file("examples/models/world/heldout.txt");
  std::string all;
  while (all.size() < 1'000'000) all += file.text();
  return all;
}

void run(benchmark::State& state, const std::string& folder) {
  const engine::tokenizer t = engine::load_tokenizer(folder);
  const std::string of = text();
  std::size_t tokens = 0;
  for (auto _ : state) tokens = t.encode(of).size();
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * of.size()));
  state.counters["tokens"] = static_cast<double>(tokens);
}

const bool declared = [] {
  std::string folders = "examples/models/world:" + variable("PRECIS_TOKENIZERS");
  while (!folders.empty()) {
    const std::size_t end = std::min(folders.find(':'), folders.size());
    const std::string folder = folders.substr(0, end);
    folders.erase(0, end + 1);
    if (!folder.empty())
      benchmark::RegisterBenchmark(std::filesystem::path(folder).filename().string().c_str(), run, folder)
          ->Unit(benchmark::kMillisecond);
  }
  return true;
}();

}  // namespace
