// Bytes are read as the lists of facts, of verdicts and of a task, or refused with the file's name. Facts that were read
// have their subject inside their prompt, and every label is one of the choices.

#include "jobs/facts.hpp"
#include "jobs/task.hpp"
#include "jobs/verdicts.hpp"

#include <precis/core/error.hpp>

#include "engine/tokenizers.hpp"

#include <cstdint>
#include <cstdlib>
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
  static const engine::tokenizer tokens = support::byte_tokenizer({{"t", "h"}});
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string file = "list";  // no file: writing one would take most of the time

  for (const auto rule : {program::answers::first_token, program::answers::whole})
    read(file, [&] {
      constexpr std::size_t context = 64;
      const program::fact_file facts = program::parse_facts(tokens, context, text, file, rule);
      for (const precis::score::fact& f : facts.facts)
        if (f.prompt.size() > context || f.subject_begin >= f.subject_end || f.subject_end > f.prompt.size())
          std::abort();
    });
  read(file, [&] {
    const program::verdict_file v = program::parse_verdicts(text, file);
    for (const std::size_t label : v.labels)
      if (label >= v.choices.size()) std::abort();
    if (v.labels.size() != v.texts.size() || v.choices.size() < 2) std::abort();
  });
  read(file, [&] {
    const program::task t = program::parse_task(text, file);
    const program::task back = program::parse_task(program::to_json_lines(t), file);
    if (back.prompts != t.prompts || back.answers != t.answers) std::abort();
  });
  return 0;
}
