// Bytes are read as the lists of facts, of verdicts and of a task, or refused with the file's name. Facts that were read
// have their subject inside their prompt, and every label is one of the choices.

#include "jobs/facts.hpp"
#include "jobs/task.hpp"
#include "jobs/verdicts.hpp"

#include <precis/core/error.hpp>

#include "engine/tokenizers.hpp"
#include "temporary_folder.hpp"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace {

/// Runs a reader; what it refuses names the file, and is printable.
template<class Read>
void read(const std::string& file, Read&& reader) {
  try {
    reader();
  } catch (const precis::error& e) {
    const std::string_view said = e.what();
    if (!said.starts_with(file) || said.size() > 1000 || precis::printable(said, said.size()) != said) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const temporary_folder folder;
  static const engine::tokenizer tokens = support::byte_tokenizer({{"t", "h"}});
  const std::filesystem::path file = folder.path() / "list";
  std::filesystem::remove(file);  // a new file is written back lazily, an overwritten one immediately
  std::ofstream(file, std::ios::binary) << std::string_view(reinterpret_cast<const char*>(data), size);

  for (const auto rule : {program::answers::first_token, program::answers::whole})
    read(file.string(), [&] {
      constexpr std::size_t context = 64;
      const program::fact_file facts = program::load_facts(tokens, context, file, rule);
      for (const precis::score::fact& f : facts.facts)
        if (f.prompt.size() > context || f.subject_begin >= f.subject_end || f.subject_end > f.prompt.size())
          std::abort();
    });
  read(file.string(), [&] {
    const program::verdict_file v = program::load_verdicts(file);
    for (const std::size_t label : v.labels)
      if (label >= v.choices.size()) std::abort();
    if (v.labels.size() != v.texts.size() || v.choices.size() < 2) std::abort();
  });
  read(file.string(), [&] {
    const program::task t = program::load_task(file);
    std::filesystem::remove(file);
    std::ofstream(file, std::ios::binary) << program::to_json_lines(t);
    const program::task back = program::load_task(file);
    if (back.prompts != t.prompts || back.answers != t.answers) std::abort();
  });
  return 0;
}
