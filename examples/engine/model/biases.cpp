#include <engine/model/family.hpp>
#include <engine/model/transformer.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

// Support for pruning singular values: slices of matrices that are separate maps, and biases for the removed means.

namespace engine {

void linear::add_position_bias(precis::matrix_view<float> rows, std::size_t first_out, std::size_t first_position,
                               std::size_t period) const noexcept {
  if (!depends_on_position()) return;
  for (std::size_t r = 0; r < rows.rows; ++r) {
    const std::size_t position = first_position + r % period;
    const float* from = nullptr;
    if (position < token_bias.size() / out)
      from = token_bias.data() + position * out;
    else if (!later_bias.empty())
      from = later_bias.data();
    if (from == nullptr) continue;
    float* const to = rows.row(r).data();
    for (std::size_t o = 0; o < rows.cols; ++o) to[o] += from[first_out + o];
  }
}

namespace {

void add(std::span<const double> more, std::span<float> to) {
  for (std::size_t o = 0; o < to.size(); ++o) to[o] = static_cast<float>(static_cast<double>(to[o]) + more[o]);
}

void check_size(const std::string& name, std::size_t have, std::size_t want) {
  if (have != want)
    precis::refuse({.what = std::to_string(have) + " biases for " + name,
                    .where = "transformer",
                    .expected = std::to_string(want) + ", one per output"});
}

}  // namespace

void transformer::add_bias(std::size_t matrix, std::span<const double> bias) {
  linear& map = map_at(weights_, places_[matrix]);
  check_size(matrices_[matrix].name, bias.size(), map.out);
  if (!map.bias.empty()) {
    add(bias, map.bias);
    return;
  }
  const bool everywhere = map.token_bias.empty();  // then later_bias applies to every position
  for (std::size_t t = 0; t < map.token_bias.size() / map.out; ++t)
    add(bias, std::span(map.token_bias).subspan(t * map.out, map.out));
  if (everywhere) map.later_bias.resize(map.out);
  if (!map.later_bias.empty()) add(bias, map.later_bias);
}

void transformer::add_token_bias(std::size_t matrix, precis::matrix_view<const double> by_token,
                                 std::span<const double> later) {
  linear& map = map_at(weights_, places_[matrix]);
  const std::string& name = matrices_[matrix].name;
  check_size(name, by_token.cols, map.out);
  if (!later.empty()) check_size(name, later.size(), map.out);
  const std::size_t have = map.token_bias.size() / map.out;
  if (by_token.rows == 0 || (have != 0 && have != by_token.rows))
    precis::refuse(
        {.what = "biases of " + name + " at " + std::to_string(by_token.rows) + " positions",
         .where = "transformer",
         .expected = have == 0 ? "at least one" : std::to_string(have) + ", the number that it already has"});
  if (have == 0) {  // until now later_bias applied to every position
    map.token_bias.resize(by_token.rows * map.out);
    for (std::size_t i = 0; !map.later_bias.empty() && i < map.token_bias.size(); ++i)
      map.token_bias[i] = map.later_bias[i % map.out];
  }
  std::vector<double> row(map.out);
  for (std::size_t t = 0; t < by_token.rows; ++t) {
    for (std::size_t o = 0; o < map.out; ++o) row[o] = by_token(t, o);
    add(row, std::span(map.token_bias).subspan(t * map.out, map.out));
  }
  if (later.empty()) {
    map.later_bias.clear();
    most_tokens_ = most_tokens_ == 0 ? by_token.rows : std::min(most_tokens_, by_token.rows);
  } else {
    map.later_bias.resize(map.out);
    add(later, map.later_bias);
  }
}

std::vector<precis::matrix_slice> transformer::slices() const {
  using precis::role;
  const config& c = weights_.config;
  const std::pair<linear block::*, role> roles[] = {{&block::query, role::query},
                                                    {&block::key, role::key},
                                                    {&block::value, role::value},
                                                    {&block::attention_out, role::attention_out},
                                                    {&block::up, role::mlp_in},
                                                    {&block::gate, role::mlp_gate},
                                                    {&block::down, role::mlp_out},
                                                    {&block::shared_up, role::mlp_in},
                                                    {&block::shared_gate, role::mlp_gate},
                                                    {&block::shared_down, role::mlp_out}};
  const std::pair<linear expert::*, role> of_expert[] = {
      {&expert::up, role::mlp_in}, {&expert::gate, role::mlp_gate}, {&expert::down, role::mlp_out}};
  std::vector<precis::matrix_slice> all;
  for (std::size_t m = 0; m < maps_; ++m) {
    const slot& part = *places_[m].slot;
    const layer_settings& layer = knobs_.layers[places_[m].layer];
    const auto heads_of = [&](role r) {
      if (r == role::query || r == role::attention_out) return c.heads;
      return r == role::key || r == role::value ? layer.kv_heads : std::size_t{1};
    };
    precis::matrix_slice whole = precis::whole_matrices(std::span(matrices_).subspan(m, 1)).front();
    whole.matrix = m;
    if (part.map == &block::qkv) {
      const role fused[] = {role::query, role::key, role::value};
      for (std::size_t i = 0; i < 3; ++i) {
        precis::matrix_slice s = whole;
        s.role = fused[i];
        s.name += "." + std::string(to_string(s.role));
        s.first_out = i * c.width;
        s.out = c.width;
        s.heads = heads_of(s.role);
        all.push_back(std::move(s));
      }
      continue;
    }
    for (const auto& [member, r] : roles)
      if (part.map != nullptr && part.map == member) whole.role = r;
    for (const auto& [member, r] : of_expert)
      if (part.of_expert != nullptr && part.of_expert == member) whole.role = r;
    whole.heads = heads_of(whole.role);
    all.push_back(std::move(whole));
  }
  return all;
}

}  // namespace engine
