// Properties of the kinds of input that must never be silently wrong, for inputs that RapidCheck makes up and shrinks:
// numbers and texts of options, names in messages, budgets, plans, GGUF files, tokens and partial results.

#include "commands/command_line.hpp"
#include "jobs/checkpoint.hpp"

#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/tokenizer/gguf_patterns.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <precis/core/budget.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/shown.hpp>

#include <rapidcheck.h>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "engine/gguf_files.hpp"
#include "refusal.hpp"

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace {

/// Any bytes, often with what disturbs: control characters, quotes, NUL and bytes that are no UTF-8.
rc::Gen<std::string> bytes() {
  const auto odd = rc::gen::element<char>('\0', '\n', '\x1b', '"', '\\', '\x80', '\xff', ' ', '-', '9');
  return rc::gen::container<std::string>(rc::gen::oneOf(odd, rc::gen::arbitrary<char>()));
}

template<class Property>
void holds(const std::string& what, Property&& property) {
  CHECK(rc::check(what, std::forward<Property>(property)));
}

/// What a command line with one option makes of a text.
template<class Value>
struct read_option {
  Value value = {};
  std::string wrong;

  explicit read_option(const std::string& text) {
    program::command_line line("precis", "test", "");
    program::subcommand c = line.add("do", "something");
    c.add("--value", value, "a value");
    c.runs([] { return program::exit_status::done; });
    const std::string given = "--value=" + text;
    const char* const arguments[] = {"precis", "do", given.c_str()};
    wrong = line.wrong_usage(3, arguments);
  }
};

}  // namespace

TEST_CASE("options: a whole number is itself or is refused", "[property][command_line]") {
  holds("unsigned numbers", [](std::int64_t n) {
    const read_option<std::size_t> read(std::to_string(n));
    RC_ASSERT(read.wrong.empty() == (n >= 0));
    if (n >= 0) RC_ASSERT(read.value == static_cast<std::size_t>(n));
    if (n < 0) RC_ASSERT(read.wrong.find(std::to_string(n)) != std::string::npos);
  });
  holds("smaller numbers", [](std::uint64_t n) {
    const read_option<unsigned> read(std::to_string(n));
    RC_ASSERT(read.wrong.empty() == (n <= 0xFFFF'FFFF));
    if (read.wrong.empty()) RC_ASSERT(read.value == n);
  });
  holds("real numbers", [](double x) {
    const double odd = *rc::gen::element(x, x * 1e300 * 1e300, std::nan(""), 0.0);
    const read_option<double> read(std::to_string(odd));
    RC_ASSERT(read.wrong.empty() == std::isfinite(odd));
  });
  holds("other texts", [] {
    const std::string text = *bytes();
    RC_PRE(text.find('\0') == std::string::npos);
    const read_option<std::size_t> read(text);
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) RC_ASSERT(!read.wrong.empty());
  });
}

TEST_CASE("messages: names from files are printable, short and UTF-8", "[property][messages]") {
  holds("printable", [] {
    const std::string text = *bytes(), shown = precis::printable(text, 200);
    RC_ASSERT(shown.size() <= 210);
    RC_ASSERT(engine::valid_end(shown, 0) == shown.size());
    for (const char c : shown) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
  });
}

TEST_CASE("budgets and plans: a text is read back as it was written, or refused", "[property][plan]") {
  holds("budgets", [] {
    const std::string text = *rc::gen::oneOf(
        bytes(), rc::gen::map(rc::gen::arbitrary<double>(), [](double x) { return std::to_string(x) + "bpw"; }));
    std::string read;
    const std::string said = refusal([&] { read = to_string(precis::parse_budget(text)); });
    if (said.empty())
      RC_ASSERT(to_string(precis::parse_budget(read)) == read);
    else
      RC_ASSERT(said.find("; expected ") != std::string::npos);
  });
  holds("plans", [] {
    const std::string text = "precis-plan 1\n" + *bytes();
    std::string read;
    const std::string said = refusal([&] { read = to_text(precis::parse_plan(text, "test")); });
    if (said.empty())
      RC_ASSERT(to_text(precis::parse_plan(read, "test")) == read);
    else
      RC_ASSERT(said.find("; expected ") != std::string::npos);
  });
}

TEST_CASE("GGUF: keys are read as they were written", "[property][gguf]") {
  holds("texts and numbers", [](const std::vector<std::int32_t>& numbers, std::uint32_t number, bool flag) {
    const std::vector<std::string> texts = *rc::gen::container<std::vector<std::string>>(bytes());
    const std::string text = *bytes();
    const engine::gguf_metadata keys{{"a", texts}, {"b", text}, {"c", numbers}, {"d", number}, {"e", flag}};
    const std::string file = engine::gguf_text(keys);
    const engine::gguf_header h = engine::parse_gguf(support::as_bytes(file), "x");
    const engine::gguf_keys read(h, "x");
    const std::vector<std::string_view> back = read.texts("a");
    RC_ASSERT(std::vector<std::string>(back.begin(), back.end()) == texts);
    RC_ASSERT(read.text("b") == text);
    RC_ASSERT(read.integers("c") == numbers);
    RC_ASSERT(read.whole_number("d") == number);
    RC_ASSERT(read.flag_or("e", !flag) == flag);
  });
}

TEST_CASE("tokens: every pre-tokenizer keeps all bytes of a text", "[property][tokenizer]") {
  const support::word_vocabulary words({"the 12", "\n\n  a"});
  for (const engine::gguf_splitter& s : engine::gguf_splitters()) {
    if (s.raw_text) continue;
    const engine::tokenizer t = support::gguf_tokenizer(words.keys(s.names.front()));
    holds(std::string(s.names.front()), [&t] {
      const std::string text = *bytes();
      RC_ASSERT(t.decode(t.encode(text, engine::start::text)) == text);
    });
  }
}

TEST_CASE("partial results: a resumed run has every piece, and another job has none", "[property][checkpoint]") {
  const temporary_folder folder;
  holds("pieces", [&](std::uint32_t seed) {
    const std::map<std::string, double> pieces =
        *rc::gen::container<std::map<std::string, double>>(bytes(), rc::gen::arbitrary<double>());
    const std::filesystem::path file = folder / "p.partial";
    std::filesystem::remove(file);
    const engine::json job{{"command", "test"}, {"seed", seed}}, other{{"command", "test"}, {"seed", seed + 1}};
    std::map<std::string, double> kept;
    {
      program::checkpoint saved(file, job, {.partial = file.string()});
      for (const auto& [key, value] : pieces) {
        if (engine::valid_end(key, 0) != key.size()) continue;  // keys are the program's own
        saved.record(key, value);
        kept.emplace(key, value);
      }
    }
    program::checkpoint again(file, job, {.partial = file.string(), .resume = true});
    RC_ASSERT(again.size() == kept.size());
    for (const auto& [key, value] : kept) {
      RC_ASSERT(again.find(key) != nullptr);
      RC_ASSERT(again.find(key)->get<double>() == value);
    }
    RC_ASSERT(refusal([&] {
                program::checkpoint wrong(file, other, {.partial = file.string(), .resume = true});
              }).find("seed") != std::string::npos);
  });
}
