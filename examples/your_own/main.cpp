// A scorer, an allocator and a codec of your own in the pipeline of the library: each is a small struct.
#include <precis/allocate/knapsack.hpp>
#include <precis/codec/affine.hpp>
#include <precis/cost/weighted_error.hpp>
#include <precis/pack.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

// The model: two blocks of one matrix each.
struct two_blocks {
  std::vector<precis::matrix_info> infos{{.name = "h.0.w", .layer = 0, .out = 2, .in = 4},
                                         {.name = "h.1.w", .layer = 1, .out = 2, .in = 4}};
  std::vector<precis::float_matrix> maps{{2, 4, {.5f, -1.f, 2.f, 0.f, 1.f, 1.f, -3.f, 4.f}},
                                         {2, 4, {.1f, -.1f, .1f, .1f, .2f, .1f, -.1f, .1f}}};
  std::span<const precis::matrix_info> matrices() const { return infos; }
  precis::weight_view weights(std::size_t i) const { return maps[i].view(); }
};

struct largest_weight {
  precis::unit_kind units = precis::unit_kind::block;

  template<precis::weighted_model Model>
  precis::scores operator()(const Model& model) const {
    precis::scores s{.scorer = "largest_weight", .measure = "|w|", .units = group_units(model.matrices(), units)};
    for (const precis::unit& u : s.units) {
      double largest = 0;
      for (const std::size_t m : u.matrices)
        for (std::size_t r = 0; r < model.weights(m).rows; ++r)
          for (const float w : model.weights(m).row(r)) largest = std::max(largest, std::abs(static_cast<double>(w)));
      s.values.push_back(largest);
    }
    precis::check_finite(s, "largest_weight");
    return s;
  }
};

struct best_above {
  double threshold = 1;  // in the unit of the costs

  precis::plan operator()(const precis::cost_table& t) const {
    precis::check(t, "best_above");
    precis::plan p{.model = t.model, .units = precis::kind_of(t.units), .notes = {"best_above"}};
    for (std::size_t u = 0; u < t.units.size(); ++u) {
      std::size_t entry = 0;  // the first entry whose cost is low enough, else the last
      while (entry + 1 < t.entries.size() && t.costs_of(u)[entry] > threshold) ++entry;
      p.choices.push_back({.unit = t.units[u].name, .codec = t.entries[entry]});
    }
    return p;
  }
};

struct sign_and_scale {
  static std::string name() { return "sign_and_scale"; }
  static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return 4 + out * in; }
  static void encode(precis::weight_view w, std::span<std::byte> packed) {
    precis::codec::check_size(name(), packed.size(), bytes(w.rows, w.cols), w);
    precis::codec::check_finite(w, "codec " + name());
    float largest = 0;
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) largest = std::max(largest, std::abs(w(r, c)));
    precis::kernel::put_word32(precis::kernel::bit_cast<std::uint32_t>(largest), packed.data());
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) packed[4 + r * w.cols + c] = std::byte(w(r, c) < 0);
  }
  static void decode(std::span<const std::byte> packed, precis::mutable_weight_view w) {
    precis::codec::check_size(name(), packed.size(), bytes(w.rows, w.cols), w);
    const auto scale = precis::kernel::bit_cast<float>(precis::kernel::get_word32(packed.data()));
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) w(r, c) = packed[4 + r * w.cols + c] == std::byte{1} ? -scale : scale;
  }
};

int main() {
  using menu = precis::menu<sign_and_scale, precis::codec::affine<8>>;
  const two_blocks model;
  const precis::scores scores = largest_weight{}(model);
  const precis::cost_table costs = precis::cost::weighted_error<menu>{}(model, scores);
  const precis::plan plan = best_above{.threshold = 0.5}(costs);
  std::fputs(to_text(scores).c_str(), stdout);
  std::fputs(to_text(plan).c_str(), stdout);
  std::printf("%zu bytes\n", precis::pack<menu>(model, plan).size.packed_bytes);
}
