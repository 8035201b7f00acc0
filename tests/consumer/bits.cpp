// Prints what a program computes with precis, as hashes: packed bytes, decoded weights, products, sums and singular
// values. tests/consumer/run compiles it with the flags that people use; the output must be the same for all of them.
// Fails when a NaN is not refused.
#include <precis/allocate/knapsack.hpp>
#include <precis/codec/affine.hpp>
#include <precis/codec/standard_menu.hpp>
#include <precis/core/compensated_sum.hpp>
#include <precis/core/random.hpp>
#include <precis/cost/error_scan.hpp>
#include <precis/fit/clip_search.hpp>
#include <precis/kernel/matvec.hpp>
#include <precis/kernel/multiply.hpp>
#include <precis/linear_algebra/singular_values.hpp>
#include <precis/measure/gram.hpp>
#include <precis/measure/log_sum_exp.hpp>
#include <precis/multiply.hpp>
#include <precis/prune/magnitude.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

using menu = precis::codec::standard;

class hash {
 public:
  void add(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) value_ = (value_ ^ static_cast<std::uint64_t>(b)) * 0x100000001B3ull;
  }
  void add(std::span<const float> numbers) { add(std::as_bytes(numbers)); }
  void add(std::span<const double> numbers) { add(std::as_bytes(numbers)); }
  void print(const char* name) const { std::printf("%-16s %016llx\n", name, static_cast<unsigned long long>(value_)); }

 private:
  std::uint64_t value_ = 0xCBF29CE484222325ull;
};

// Integers times powers of two, so the weights themselves depend on no arithmetic; some are zero, some large.
std::vector<float> numbers(std::size_t count, const char* name) {
  const precis::random_stream random(7, precis::purpose(name));
  std::vector<float> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t bits = random.at(i);
    const auto sum = static_cast<std::int32_t>((bits & 0xFFFFF) + (bits >> 20 & 0xFFFFF)) - 0xFFFFF;
    const float scale = bits >> 60 == 0 ? 0x1p-17f : 0x1p-22f;
    all[i] = bits >> 54 == 0 ? 0.f : static_cast<float>(sum) * scale;
  }
  return all;
}

template<class Action>
bool refuses(Action&& action) {
  try {
    action();
  } catch (const precis::error&) {
    return true;
  }
  return false;
}

bool wrong = false;
void check(bool right, const std::string& what) {
  if (right) return;
  std::printf("not refused: %s\n", what.c_str());
  wrong = true;
}

// Every entry of the menu, on a matrix with whole tiles and on one with rests of rows, groups and blocks.
void encode_all() {
  hash bytes, values;
  for (const auto& [out, in] : {std::pair<std::size_t, std::size_t>{32, 256}, {19, 83}}) {
    std::vector<float> w = numbers(out * in, "weights");
    std::vector<float> decoded(w.size());
    std::vector<float> bad = w;
    bad[bad.size() / 2] = std::numeric_limits<float>::quiet_NaN();
    for (std::size_t entry = 0; entry < menu::size; ++entry) {
      const precis::kernel::code_kind codes = precis::kernel::parse_format(menu::name(entry))->codes;
      const bool blocks = codes == precis::kernel::code_kind::ggml || codes == precis::kernel::code_kind::block;
      if (in % 32 != 0 && blocks) continue;  // they have no rest
      std::vector<std::byte> packed(menu::bytes(entry, out, in));
      menu::encode(entry, {w, out, in}, packed);
      menu::decode(entry, packed, {decoded, out, in});
      bytes.add(packed);
      values.add(std::span<const float>(decoded));
      check(refuses([&] { menu::encode(entry, {bad, out, in}, packed); }), "NaN in " + menu::name(entry));
    }
  }
  bytes.print("bytes");
  values.print("decoded");
}

void clip() {
  hash bytes;
  for (const double power : {2.0, 2.4})
    for (const char* name : {"affine4.g32", "symmetric3.row", "affine8.g64.h", "e4m3.g32", "min_anchored4.g32"}) {
      const std::vector<float> w = numbers(std::size_t{16} * 128, "clipped");
      const std::size_t entry = menu::index_of(name);
      std::vector<std::byte> packed(menu::bytes(entry, 16, 128));
      precis::fit::clip_search{.steps = 20, .step = 0.02, .power = power}(*menu::format(entry), {w, 16, 128}, packed);
      bytes.add(packed);
    }
  bytes.print("clip_search");
}

void multiply() {
  using listed = precis::menu<precis::codec::affine<4, 32>, precis::codec::float16, precis::codec::codebook<4>,
                              precis::codec::keep_of<2, 4, precis::codec::float16>>;
  constexpr std::size_t out = 35, in = 384;
  const std::vector<float> w = numbers(out * in, "weights"), x = numbers(in, "inputs");
  std::vector<float> y(out);
  hash floats, bytes;
  for (const char* name : {"affine4.g32", "affine4.row", "symmetric4.tensor", "min_anchored4.g128.h", "affine4.g64.h",
                           "float16", "codebook4.tensor", "keep2of4.float16"}) {
    const std::size_t entry = menu::index_of(name);
    std::vector<std::byte> packed(menu::bytes(entry, out, in));
    menu::encode(entry, {w, out, in}, packed);
    const precis::kernel::packed_matrix m{*menu::packed_format(entry), packed.data(), out, in};
    std::vector<float> workspace(precis::kernel::vector_workspace(m));
    precis::kernel::multiply<precis::kernel_formats<listed>>(m, x, y, workspace);
    floats.add(std::span<const float>(y));

    const auto grid = menu::format(entry);
    const std::size_t segment = grid ? precis::kernel::segment_of(*grid, in) : 0;
    if (segment == 0) continue;
    std::vector<float> prepared(precis::kernel::byte_activation_workspace(in, segment));
    precis::kernel::matvec<precis::codec::affine<4, 32>::format>(
        precis::kernel::packed_grid{*grid, packed.data(), out, in}, precis::kernel::as_bytes(x, segment, prepared), y);
    bytes.add(std::span<const float>(y));
  }
  floats.print("multiply");
  bytes.print("bytes of x");
}

void offline() {
  constexpr std::size_t out = 24, in = 64;
  const std::vector<float> w = numbers(out * in, "weights");

  hash errors;
  std::vector<std::size_t> entries;
  for (std::size_t e = 0; e < menu::size; e += 7) entries.push_back(e);
  const auto scanned = precis::cost::scan_errors<menu>(
      {w, out, in}, {.name = "w", .layer = 0, .part = precis::part::other, .out = out, .in = in}, entries);
  errors.add(std::span<const double>(scanned.squares));
  errors.print("error_scan");

  hash sums;
  precis::compensated_sum sum;
  for (const float x : w) sum.add(static_cast<double>(x) * 1e10 + 1);
  sums.add(std::vector<double>{sum.value(), precis::measure::log_sum_exp(w)});
  precis::activations inputs(1, out, in);
  inputs.values = w;
  sums.add(precis::measure::gram_of(std::as_const(inputs).view()).sum.values);
  sums.print("sums");

  hash parts;
  const auto system = precis::linear_algebra::singular_values({w, out, in});
  parts.add(system.values);
  parts.add(system.left.values);
  parts.print("singular_values");

  hash pruned;
  std::vector<float> kept = w;
  precis::prune::magnitude{.sparsity = 0.3}(precis::mutable_weight_view(kept, out, in));
  pruned.add(std::span<const float>(kept));
  kept[3] = std::numeric_limits<float>::infinity();
  check(refuses([&] { precis::prune::magnitude{.sparsity = 0.3}(precis::mutable_weight_view(kept, out, in)); }),
        "infinity in prune::magnitude");
  pruned.print("magnitude");

  // A knapsack over the errors that were found, one unit per row of the menu's entries.
  precis::cost_table table;
  const std::size_t units = 5, width = scanned.squares.size() / units;
  for (std::size_t e = 0; e < width; ++e) table.entries.push_back("entry" + std::to_string(e));
  for (std::size_t u = 0; u < units; ++u) {
    table.units.push_back({.name = "unit" + std::to_string(u),
                           .layer = u,
                           .kind = precis::unit_kind::matrix,
                           .part = precis::part::other,
                           .matrices = {u},
                           .weights = out * in});
    for (std::size_t e = 0; e < width; ++e) {
      table.bytes.push_back(menu::bytes(entries[u * width + e], out, in));
      table.costs.push_back(scanned.squares[u * width + e]);
    }
  }
  const precis::plan p = precis::allocate::knapsack{.budget = precis::bits_per_weight(5)}(table);
  const std::string text = to_text(p);
  hash plans;
  plans.add(std::as_bytes(std::span<const char>(text)));
  plans.print("knapsack");
  table.costs[3] = std::numeric_limits<double>::quiet_NaN();
  check(refuses([&] { static_cast<void>(precis::allocate::knapsack{.budget = precis::bits_per_weight(5)}(table)); }),
        "NaN in a cost table");
}

int main() {
  encode_all();
  clip();
  multiply();
  offline();
  return wrong ? 1 : 0;
}
