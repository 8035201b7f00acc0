#include "jobs/product_times.hpp"

#include "jobs/formats.hpp"
#include "jobs/session.hpp"

#include <engine/model/scratch_arena.hpp>
#include <engine/model/thread_team.hpp>
#include <engine/packed/stored_matrix.hpp>

#include <precis/cost/product_times.hpp>

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace program {

namespace {

/// A matrix as the engine runs it, as many times as it fills the model, and its input and output.
struct prepared_product {
  std::vector<engine::stored_matrix> copies;
  std::vector<float> x, y;
  engine::activation_type type;
  engine::thread_team* threads;

  void operator()(std::size_t copy) {
    engine::scratch_arena memory;
    engine::input_rows rows({std::span<const float>(x), 1, x.size()}, type, memory);
    multiply(copies[copy], rows, {std::span<float>(y), 1, y.size()}, *threads);
  }
};

}  // namespace

precis::cost_table with_times(const session& s, precis::cost_table t, const time_request& how) {
  engine::thread_team threads(how.threads);
  const auto type = how.int8_activations ? engine::activation_type::int8 : engine::activation_type::float32;
  const auto prepare = [&](const precis::cost::timed_matrix& m) -> std::function<void(std::size_t)> {
    auto product = std::make_shared<prepared_product>();
    for (std::size_t c = 0; c < m.copies; ++c) {
      std::optional<engine::stored_matrix> copy = engine::stored_matrix::of(m.entry, m.packed, m.out, m.in);
      if (!copy) return {};
      product->copies.push_back(std::move(*copy));
    }
    for (std::size_t i = 0; i < m.in; ++i) product->x.push_back(static_cast<float>(i % 7) - 3);
    product->y.resize(m.out);
    product->type = type;
    product->threads = &threads;
    return [product](std::size_t copy) { (*product)(copy); };
  };
  precis::cost::product_times<formats> times;
  for (const precis::matrix_info& m : s.model.matrices())
    times.products.push_back(m.layer == precis::before_layers && !s.model.shape().tied_head ? 0 : 1);
  precis::cost_table timed = times(s.model.matrices(), std::move(t), prepare);
  timed.notes.push_back(fmt::format("times of {} products, {} {}", how.int8_activations ? "int8" : "float",
                                    threads.size(), threads.size() == 1 ? "thread" : "threads"));
  return timed;
}

}  // namespace program
