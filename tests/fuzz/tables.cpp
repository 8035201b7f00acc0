// Bytes are read as each of the text files that stages exchange, or refused by the file's name. What was read prints, and
// reads back as the same value; no byte of the file can disturb a message.

#include <precis/core/budget.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/spectra.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace precis;

const std::vector<matrix_info> matrices{{"wte", before_layers, part::other, 8, 4},
                                        {"a", 0, part::attention, 4, 4},
                                        {"b", 0, part::mlp, 4, 4},
                                        {"c", 1, part::attention, 4, 4},
                                        {"d", 1, part::mlp, 4, 4}};

template<class Parse>
void read(Parse&& parse) {
  try {
    const auto x = parse();
    if (!(parse(to_text(x)) == x)) std::abort();
  } catch (const error& e) {
    const std::string_view said = e.what();
    if (!said.starts_with("fuzz") || said.size() > 600 || printable(said, said.size()) != said) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read([&](std::string_view t = {}) { return parse_plan(t.empty() ? text : t, "fuzz"); });
  read([&](std::string_view t = {}) { return parse_scores(t.empty() ? text : t, matrices, "fuzz"); });
  read([&](std::string_view t = {}) { return parse_costs(t.empty() ? text : t, matrices, "fuzz"); });
  read([&](std::string_view t = {}) { return parse_spectra(t.empty() ? text : t, matrices, "fuzz"); });
  try {
    const budget b = parse_budget(text);
    if (!(b.value > 0) || !(parse_budget(to_string(b)) == b)) std::abort();
  } catch (const error&) {}
  return 0;
}
