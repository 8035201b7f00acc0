#include "jobs/importance.hpp"

#include "jobs/progress.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"
#include "jobs/text_windows.hpp"

#include <engine/model_files/gguf_model.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace program {

std::vector<float> importances::of(const engine::config& c, std::string_view name, std::size_t in) const {
  const auto at = file.tensors.find(engine::gguf_name(c, std::string(name) + ".weight"));
  if (at == file.tensors.end()) return {};
  if (at->second.counts.size() != 1 || at->second.in() != in)
    precis::refuse({.what = fmt::format("{} has {} importances", at->first, at->second.sums.size()),
                    .where = where,
                    .expected = fmt::format("{}, one for each input: the importance matrix of this model", in)});
  return at->second.means();
}

importances read_importances(const std::string& file) { return {.file = engine::read_imatrix(file), .where = file}; }

engine::imatrix gather_importances(const session& s, const text_windows& text, const run_options& o) {
  const std::span<const precis::matrix_info> matrices = s.model.matrices();
  std::vector<std::vector<double>> squares(matrices.size());
  std::vector<std::size_t> counts(matrices.size());
  progress bar("gathering inputs", text.windows.size(), o.how());
  for (const precis::token_batch& batch : text.windows) {
    stop_if_interrupted();
    s.model.inputs(batch, [&](const precis::linear_input& i) {
      std::vector<double> sums = std::move(squares[i.matrices.front()]);
      sums.resize(i.input.features);
      for (std::size_t q = 0; q < i.input.sequences; ++q)
        for (std::size_t t = 0; t < i.input.tokens; ++t) {
          const std::span<const float> x = i.input(q, t);
          for (std::size_t f = 0; f < x.size(); ++f) sums[f] += static_cast<double>(x[f]) * static_cast<double>(x[f]);
        }
      for (const std::size_t m : i.matrices) {
        squares[m] = sums;
        counts[m] += i.input.sequences * i.input.tokens;
      }
    });
    bar.step();
  }
  engine::imatrix out{.tensors = {}, .datasets = {text.name}, .chunks = text.windows.size(), .chunk_size = text.length};
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    if (counts[m] == 0) continue;  // a table that is only looked up
    const std::string name = engine::gguf_name(s.model.shape(), matrices[m].name + ".weight");
    if (name.empty())
      precis::refuse({.what = "matrix " + matrices[m].name + " has no name in GGUF",
                      .where = "imatrix",
                      .expected = "a model of a family that llama.cpp's files can hold"});
    engine::importance_sums t{.sums = {}, .counts = {static_cast<float>(counts[m])}};
    for (const double x : squares[m]) {
      if (!std::isfinite(static_cast<float>(x)))
        precis::refuse({.what = "an input of " + matrices[m].name + " is not finite",
                        .where = "imatrix",
                        .expected = "finite activations"});
      t.sums.push_back(static_cast<float>(x));
    }
    out.tensors.emplace(name, std::move(t));
  }
  return out;
}

}  // namespace program
