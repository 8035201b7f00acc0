#include "jobs/importance.hpp"

#include "jobs/progress.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"
#include "jobs/text_windows.hpp"

#include <engine/model_files/gguf_model.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <utility>

namespace program {

std::vector<float> importances::of(const engine::config& c, std::string_view name, std::size_t in) const {
  const auto at = file.tensors.find(engine::gguf_name(c, std::string(name) + ".weight"));
  if (at == file.tensors.end()) return {};
  const auto expert = engine::expert_of(c, name);
  const std::size_t all = expert ? expert->count : 1;
  if (at->second.counts.size() != all || at->second.in() != in)
    precis::refuse({.what = fmt::format("{} has {} importances", at->first, at->second.sums.size()),
                    .where = where,
                    .expected = fmt::format("{}, one for each input: the importance matrix of this model", all * in)});
  const std::vector<float> means = at->second.means();
  const auto first = means.begin() + static_cast<std::ptrdiff_t>(expert ? expert->index * in : 0);
  return {first, first + static_cast<std::ptrdiff_t>(in)};
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
    const auto expert = engine::expert_of(s.model.shape(), matrices[m].name);
    if (counts[m] == 0 && !expert) continue;  // a table that is only looked up
    const std::string name = engine::gguf_name(s.model.shape(), matrices[m].name + ".weight");
    if (name.empty())
      precis::refuse({.what = "matrix " + matrices[m].name + " has no name in GGUF",
                      .where = "imatrix",
                      .expected = "a model of a family that llama.cpp's files can hold"});
    const std::size_t all = expert ? expert->count : 1, index = expert ? expert->index : 0, in = matrices[m].in;
    engine::importance_sums& t = out.tensors[name];  // of all experts, or of query, key and value, whose inputs are one
    t.sums.resize(all * in);
    t.counts.resize(all);
    t.counts[index] = static_cast<float>(counts[m]);
    squares[m].resize(in);
    for (std::size_t i = 0; i < in; ++i) {
      t.sums[index * in + i] = static_cast<float>(squares[m][i]);
      if (!std::isfinite(t.sums[index * in + i]))
        precis::refuse({.what = "an input of " + matrices[m].name + " is not finite",
                        .where = "imatrix",
                        .expected = "finite activations"});
    }
  }
  return out;
}

}  // namespace program
