// What every reader of a text file owes: what it printed it reads back; what it does not read it refuses by file, and by line
// where there is one; nothing in a file can disturb the message.

#include <precis/core/cost_table.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/random.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/spectra.hpp>

#include "catch.hpp"
#include "mutations.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

using namespace precis;
using test::dice;

namespace {

const std::vector<matrix_info> matrices{{"wte", before_layers, part::other, 8, 4},
                                        {"a", 0, part::attention, 4, 4},
                                        {"b", 0, part::mlp, 4, 4},
                                        {"c", 1, part::attention, 4, 4},
                                        {"d", 1, part::mlp, 4, 4}};

/// A number that is hard to print, or an ordinary one.
double number(dice& d) {
  static constexpr double odd[] = {0,      -0.0,   1,       0.1,          1e308,
                                   -1e300, 5e-324, 1.0 / 3, 123456789.25, 2.2250738585072014e-308};
  if (d.below(2) == 0) return odd[d.below(std::size(odd))];
  return d.stream.normal(d.next++) * 1e3;
}
std::string words(dice& d) {
  static constexpr std::string_view all[] = {"taylor", "noise=0.1", "of", "caf\xC3\xA9", "model", "1e5", "\xFF"};
  std::string text(all[d.below(std::size(all))]);
  for (std::size_t n = d.below(3); n > 0; --n)
    text += (d.below(2) == 0 ? "  " : " ") + std::string(all[d.below(std::size(all))]);
  return text;
}
std::vector<std::string> notes(dice& d) {
  std::vector<std::string> all(d.below(3));
  for (std::string& note : all) note = words(d);
  return all;
}
unit_kind kind(dice& d) {
  constexpr unit_kind all[] = {unit_kind::block, unit_kind::half, unit_kind::matrix, unit_kind::named};
  return all[d.below(4)];
}
std::string model(dice& d) { return d.below(3) == 0 ? "" : "8c1f5d0e" + std::to_string(d.below(10)); }

plan random_plan(dice& d) {
  plan p{.model = model(d), .units = kind(d), .notes = notes(d), .choices = {}};
  for (const unit& u : group_units(matrices, p.units))
    p.choices.push_back({.unit = u.name,
                         .codec = d.below(2) == 0 ? "affine4.g32" : "float16",
                         .sparsity = d.below(2) == 0 ? 0 : d.stream.uniform(d.next++),
                         .rank = d.below(2) == 0 ? 0 : d.below(9)});
  return p;
}
scores random_scores(dice& d) {
  scores s{.model = model(d),
           .scorer = words(d),
           .measure = words(d),
           .units = {},
           .values = {},
           .unscored = {},
           .notes = notes(d)};
  for (const unit& u : group_units(matrices, kind(d))) {
    if (!s.units.empty() && d.below(4) == 0) {
      s.unscored.push_back(u);
      continue;
    }
    s.units.push_back(u);
    s.values.push_back(number(d));
  }
  return s;
}
cost_table random_costs(dice& d) {
  cost_table t{
      .model = model(d), .maker = words(d), .measure = words(d), .original_bytes = d.below(1000), .notes = notes(d)};
  t.units = group_units(matrices, kind(d));
  for (std::size_t e = 1 + d.below(3); e > 0; --e) t.entries.push_back("affine" + std::to_string(e) + ".row");
  const std::size_t cells = t.units.size() * t.entries.size();
  for (std::size_t i = 0; i < cells; ++i) {
    t.bytes.push_back(d.below(100000));
    t.costs.push_back(i % t.entries.size() != 0 && d.below(4) == 0 ? not_admitted : number(d) * 1e-3);
  }
  if (d.below(2) == 0)
    for (std::size_t i = 0; i < cells; ++i) t.nanoseconds.push_back(d.below(4) == 0 ? not_timed : d.below(10000));
  return t;
}
spectra random_spectra(dice& d) {
  spectra all{.model = model(d), .scorer = words(d), .measure = words(d), .slices = {}, .notes = notes(d)};
  for (std::size_t m = 1; m < matrices.size(); m += 1 + d.below(2)) {
    spectrum s{.slice = {.name = matrices[m].name,
                         .matrix = m,
                         .layer = matrices[m].layer,
                         .role = all_roles[d.below(8)],
                         .first_out = d.below(2),
                         .out = 3,
                         .first_in = d.below(3),
                         .in = 2},
               .values = {},
               .scores = {}};
    s.values = {d.stream.uniform(d.next++) + 1, d.stream.uniform(d.next++)};
    s.scores = {number(d), number(d)};
    all.slices.push_back(std::move(s));
  }
  return all;
}

const std::string file = "my.file";

/// One reader: a random value's text, and whether a text reads and prints back.
struct reader {
  std::string name;
  std::string (*sample)(dice&);                    ///< checks that the text of a random value reads back as the value
  std::string (*print_again)(const std::string&);  ///< parse, print; the refusal of the parser is thrown
};
template<auto Random, auto Parse>
reader make(std::string name) {
  return {std::move(name),
          [](dice& d) {
            const auto x = Random(d);
            const std::string text = to_text(x);
            CAPTURE(text);
            REQUIRE(Parse(text) == x);
            return text;
          },
          [](const std::string& text) {
            const auto x = Parse(text);
            const std::string printed = to_text(x);
            REQUIRE(Parse(printed) == x);
            return printed;
          }};
}
plan read_plan(const std::string& t) { return parse_plan(t, file); }
scores read_scores(const std::string& t) { return parse_scores(t, matrices, file); }
cost_table read_costs(const std::string& t) { return parse_costs(t, matrices, file); }
spectra read_spectra(const std::string& t) { return parse_spectra(t, matrices, file); }

const std::vector<reader> readers{make<random_plan, read_plan>("plan"), make<random_scores, read_scores>("scores"),
                                  make<random_costs, read_costs>("costs"),
                                  make<random_spectra, read_spectra>("spectra")};

void check_message(const std::string& said) {
  CHECK(said.starts_with(file + ": "));
  CHECK(said.size() < 400);
  CHECK(printable(said, said.size()) == said);
}

}  // namespace

TEST_CASE("a text file reads back as what was printed", "[core][text][property]") {
  for (const reader& r : readers) {
    CAPTURE(r.name);
    dice d{random_stream(1, purpose(r.name))};
    for (int i = 0; i < 500; ++i) (void)r.sample(d);
  }
}

TEST_CASE("a changed text file is refused by its name, or prints back", "[core][text][property]") {
  for (const reader& r : readers) {
    dice d{random_stream(2, purpose(r.name))};
    std::size_t read = 0, refused = 0, with_line = 0;
    for (int i = 0; i < 2000; ++i) {
      std::string text = r.sample(d);
      for (std::size_t n = 1 + d.below(3); n > 0; --n) text = test::mutated(text, d);
      CAPTURE(r.name, i, text);
      const std::string said = refusal([&] { (void)r.print_again(text); });
      if (said.empty()) {
        ++read;
        continue;
      }
      ++refused;
      with_line += said.starts_with(file + ": line ") ? 1u : 0u;
      check_message(said);
    }
    CAPTURE(r.name, read, refused, with_line);
    CHECK(read > 100);               // the changes are neither all harmful ...
    CHECK(with_line > refused / 3);  // ... nor all such that no line is to blame: a missing unit, an empty file
  }
}

TEST_CASE("a control character in a text file is refused by its line", "[core][text][refusal]") {
  for (const reader& r : readers) {
    dice d{random_stream(3, purpose(r.name))};
    const std::vector<std::string> lines = test::lines_of(r.sample(d));
    for (std::size_t l = 1; l < lines.size(); ++l)
      for (const char control : {'\0', '\x1B', '\x7F', '\x0B'}) {
        std::vector<std::string> changed = lines;
        changed[l].insert(changed[l].size() / 2, 1, control);
        const std::string said = refusal([&] { (void)r.print_again(test::joined(changed)); });
        CAPTURE(r.name, l, static_cast<int>(control), said);
        CHECK(said.starts_with(file + ": line " + std::to_string(l + 1) + ": the control character"));
        check_message(said);
      }
  }
}

TEST_CASE("a line that is there twice is refused by its line, but for notes", "[core][text][refusal]") {
  for (const reader& r : readers) {
    dice d{random_stream(4, purpose(r.name))};
    for (int i = 0; i < 20; ++i) {
      const std::vector<std::string> lines = test::lines_of(r.sample(d));
      for (std::size_t l = 1; l < lines.size(); ++l) {
        if (lines[l].starts_with("note ")) continue;
        if (r.name == "spectra" && l > 2 && !lines[l].starts_with("model ")) continue;  // numbers may repeat
        std::vector<std::string> changed = lines;
        changed.insert(changed.begin() + static_cast<std::ptrdiff_t>(l), lines[l]);
        const std::string said = refusal([&] { (void)r.print_again(test::joined(changed)); });
        CAPTURE(r.name, lines[l], said);
        CHECK(said.starts_with(file + ": line " + std::to_string(l + 2) + ": "));
      }
    }
  }
}

TEST_CASE("a newer version of a text file is said to be newer", "[core][text][refusal]") {
  for (const reader& r : readers) {
    dice d{random_stream(5, purpose(r.name))};
    std::vector<std::string> lines = test::lines_of(r.sample(d));
    lines[0] = lines[0].substr(0, lines[0].find(' ')) + " 17";
    const std::string said = refusal([&] { (void)r.print_again(test::joined(lines)); });
    CAPTURE(said);
    CHECK_THAT(said, ContainsSubstring(" 17', which a newer version of precis wrote; expected"));
    check_message(said);
  }
}

TEST_CASE("a byte order mark and CR LF do not change what a text file says", "[core][text][property]") {
  for (const reader& r : readers) {
    dice d{random_stream(6, purpose(r.name))};
    const std::string text = r.sample(d);
    std::string windows = "\xEF\xBB\xBF";
    for (const char c : text) windows += c == '\n' ? std::string("\r\n") : std::string(1, c);
    CHECK(r.print_again(windows) == text);
  }
}

TEST_CASE("a plan of many units is read in linear time", "[core][plan][refusal]") {
  std::string text =
      "precis-plan 1\nunits named\n";  // the last unit repeats the first: found without comparing all pairs
  for (int i = 0; i < 200000; ++i) text += "u" + std::to_string(i) + " float16\n";
  CHECK_THAT(refusal([&] { (void)parse_plan(text + "u0 float16\n", file); }),
             ContainsSubstring("my.file: line 200003: unit 'u0' is chosen twice"));
}
