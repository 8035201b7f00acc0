#include "jobs/calibration.hpp"

#include "jobs/progress.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"
#include "jobs/text_windows.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <engine/files/safetensors.hpp>
#include <engine/model_files/gguf_model.hpp>

#include <precis/core/error.hpp>
#include <precis/core/random.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace program {

std::size_t calibration::tokens() const noexcept {
  std::size_t sum = 0;
  for (const precis::token_batch& w : windows) sum += w.ids.size();
  return sum;
}

namespace {

/// The same windows with targets drawn from the model's own predictions.
precis::token_batch with_drawn_targets(const engine::transformer& model, precis::token_batch batch,
                                       std::size_t window) {
  const precis::float_matrix logits = model.logits(batch, precis::positions::all);
  const precis::random_stream draw(precis::purpose("calibration targets"), window);
  batch.targets.resize(batch.ids.size());
  for (std::size_t t = 0; t < logits.rows; ++t) {
    const std::span<const float> row = logits.row(t);
    const float most = *std::ranges::max_element(row);
    double total = 0;
    for (const float x : row) total += std::exp(static_cast<double>(x - most));
    double left = draw.uniform(t) * total;
    std::size_t chosen = 0;
    for (; chosen + 1 < row.size(); ++chosen) {
      left -= std::exp(static_cast<double>(row[chosen] - most));
      if (left < 0) break;
    }
    batch.targets[t] = static_cast<precis::token>(chosen);
  }
  return batch;
}

/// Mean squared gradients at the outputs of every matrix.
void measure_sensitivity(const session& s, calibration& c, std::size_t windows, const run_options& o) {
  const std::size_t count = std::min(windows, c.windows.size());
  c.sensitivity.assign(s.model.matrices().size(), 0.0);
  if (count == 0) return;
  std::vector<std::vector<double>> sums(count, std::vector<double>(c.sensitivity.size()));
  std::vector<std::size_t> tokens(count);
  progress bar("gradients", count, o.how());
  o.pool().for_each(count, [&](std::size_t i) {
    const std::size_t window = i * c.windows.size() / count;
    const precis::token_batch batch = with_drawn_targets(s.model, c.windows[window], window);
    static_cast<void>(s.model.backward(batch, [&](const precis::linear_gradient& g) {
      const precis::activations_view<const float> dy = g.output_gradient;
      double squares = 0;
      for (std::size_t q = 0; q < dy.sequences; ++q)
        for (std::size_t t = 0; t < dy.tokens; ++t)
          for (const float x : dy(q, t)) squares += static_cast<double>(x) * static_cast<double>(x);
      sums[i][g.matrix] += squares / static_cast<double>(std::max<std::size_t>(1, dy.features));
    }));
    tokens[i] = batch.ids.size();
    bar.step();
  });
  std::size_t all = 0;
  for (std::size_t i = 0; i < count; ++i) {
    all += tokens[i];
    for (std::size_t m = 0; m < c.sensitivity.size(); ++m) c.sensitivity[m] += sums[i][m];
  }
  for (double& v : c.sensitivity) v /= static_cast<double>(all);
}

}  // namespace

calibration calibrate(const session& s, const text_windows& text, std::size_t gradient_windows, const run_options& o) {
  const std::span<const precis::matrix_info> matrices = s.model.matrices();
  calibration c{.model = s.name,
                .fingerprint = s.fingerprint,
                .texts = {text.name},
                .inputs = {},
                .reads = std::vector<std::size_t>(matrices.size(), calibration::none),
                .sensitivity = {},
                .windows = text.windows};
  const worker_pool pool = o.pool();
  {
    progress bar("gathering statistics", text.windows.size(), o.how());
    for (const precis::token_batch& batch : text.windows) {
      stop_if_interrupted();
      s.model.inputs(batch, [&](const precis::linear_input& i) {
        std::size_t& at = c.reads[i.matrices.front()];
        if (at == calibration::none) {
          at = c.inputs.size();
          for (const std::size_t m : i.matrices) c.reads[m] = at;
          c.inputs.emplace_back();
        }
        c.inputs[at].add(i.input, pool);
      });
      bar.step();
    }
  }
  for (std::size_t m = 0; m < matrices.size(); ++m)
    if (c.reads[m] != calibration::none) c.inputs[c.reads[m]].finish(matrices[m].name);
  measure_sensitivity(s, c, gradient_windows, o);
  return c;
}

void merge(calibration& into, const calibration& other, const std::string& where) {
  if (into.fingerprint != other.fingerprint || into.reads.size() != other.reads.size())
    precis::refuse({.what = "statistics of model " + other.model, .where = where, .expected = "those of this model"});
  std::vector<std::size_t> same(other.inputs.size(), calibration::none);
  for (std::size_t m = 0; m < into.reads.size(); ++m)
    if (other.reads[m] != calibration::none && into.reads[m] != calibration::none) same[other.reads[m]] = into.reads[m];
  for (std::size_t i = 0; i < same.size(); ++i) {
    if (same[i] == calibration::none) {  // an input that only the other text reached
      same[i] = into.inputs.size();
      into.inputs.push_back(other.inputs[i]);
      for (std::size_t m = 0; m < into.reads.size(); ++m)
        if (other.reads[m] == i) into.reads[m] = same[i];
    } else {
      into.inputs[same[i]].merge(other.inputs[i]);
    }
  }
  const auto weight = [](const calibration& c) { return static_cast<double>(c.tokens()); };
  const double share = weight(other) / (weight(into) + weight(other));
  for (std::size_t m = 0; m < into.sensitivity.size(); ++m)
    into.sensitivity[m] = (1 - share) * into.sensitivity[m] + share * other.sensitivity[m];
  into.texts.insert(into.texts.end(), other.texts.begin(), other.texts.end());
  into.windows.insert(into.windows.end(), other.windows.begin(), other.windows.end());
}

namespace {

constexpr const char* kind = "precis calibration 1";

template<class T>
std::span<const std::byte> bytes_of(const std::vector<T>& v) {
  return std::as_bytes(std::span<const T>(v));
}

std::vector<double> lower_triangle(const precis::basic_matrix<double>& m) {
  std::vector<double> values;
  values.reserve(m.rows * (m.rows + 1) / 2);
  for (std::size_t i = 0; i < m.rows; ++i)
    for (std::size_t j = 0; j <= i; ++j) values.push_back(m(i, j));
  return values;
}

/// The name of an input in files: its first matrix.
std::string name_of_input(const calibration& c, std::span<const precis::matrix_info> matrices, std::size_t input) {
  for (std::size_t m = 0; m < matrices.size(); ++m)
    if (c.reads[m] == input) return matrices[m].name;
  return {};
}

/// Reads tensors of a file by name.
struct tensor_reader {
  std::span<const std::byte> file;
  std::span<const engine::tensor_entry> tensors;
  std::string where;

  template<class T>
  [[nodiscard]] std::vector<T> operator()(const std::string& name, engine::dtype type) const {
    const auto at = std::ranges::find(tensors, name, &engine::tensor_entry::name);
    if (at == tensors.end() || at->type != type)
      precis::refuse({.what = "no tensor " + name, .where = where, .expected = "a file of precis calibrate"});
    std::vector<T> values(at->bytes / sizeof(T));
    std::memcpy(values.data(), file.data() + at->first_byte, at->bytes);
    return values;
  }
};

}  // namespace

void write_calibration(const calibration& c, std::span<const precis::matrix_info> matrices,
                       const std::filesystem::path& path) {
  engine::json readers = engine::json::object(), texts = c.texts;
  std::vector<engine::tensor_declaration> declared;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const std::string name = name_of_input(c, matrices, i);
    for (std::size_t m = 0; m < matrices.size(); ++m)
      if (c.reads[m] == i) readers[name].push_back(matrices[m].name);
    const std::size_t n = c.inputs[i].width();
    declared.push_back({name + ".gram", engine::dtype::f64, {n * (n + 1) / 2}});
    declared.push_back({name + ".sum", engine::dtype::f64, {n}});
    declared.push_back({name + ".absolute_sum", engine::dtype::f64, {n}});
    declared.push_back({name + ".maximum", engine::dtype::f32, {n}});
    declared.push_back({name + ".tokens", engine::dtype::i64, {1}});
  }
  declared.push_back({"sensitivity", engine::dtype::f64, {c.sensitivity.size()}});
  std::vector<std::int32_t> ids, lengths;
  for (const precis::token_batch& w : c.windows) {
    lengths.push_back(static_cast<std::int32_t>(w.ids.size()));
    ids.insert(ids.end(), w.ids.begin(), w.ids.end());
  }
  declared.push_back({"windows", engine::dtype::i32, {ids.size()}});
  declared.push_back({"window_lengths", engine::dtype::i32, {lengths.size()}});
  engine::safetensors_writer to(path, declared,
                                {{"kind", kind},
                                 {"model", c.model},
                                 {"fingerprint", c.fingerprint},
                                 {"texts", texts.dump()},
                                 {"readers", readers.dump()}});
  for (const precis::measure::input_statistics& s : c.inputs) {
    to.write(bytes_of(lower_triangle(s.moments.sum)));
    to.write(bytes_of(s.sums));
    to.write(bytes_of(s.absolute_sums));
    to.write(bytes_of(s.maxima));
    to.write(bytes_of(std::vector<std::int64_t>{static_cast<std::int64_t>(s.tokens())}));
  }
  to.write(bytes_of(c.sensitivity));
  to.write(bytes_of(ids));
  to.write(bytes_of(lengths));
  to.commit();
}

calibration read_calibration(const std::filesystem::path& path, const std::string& fingerprint,
                             std::span<const precis::matrix_info> matrices) {
  const engine::mapped_file file(path);
  const std::string where = path.string();
  const auto bad = [&](std::string what, std::string expected) {
    precis::refuse({.what = std::move(what), .where = where, .expected = std::move(expected)});
  };
  const engine::safetensors_header header = engine::parse_safetensors(file.bytes(), where);
  const auto meta = [&](const char* key) {
    const auto at = header.metadata.find(key);
    return at == header.metadata.end() ? std::string() : at->second;
  };
  if (meta("kind") != kind) bad("not a calibration", "a file of precis calibrate");
  if (meta("fingerprint") != fingerprint)
    bad("statistics of another model, " + meta("model"), "those of this model: run precis calibrate on it");
  calibration c{.model = meta("model"),
                .fingerprint = fingerprint,
                .texts = {},
                .inputs = {},
                .reads = std::vector<std::size_t>(matrices.size(), calibration::none),
                .sensitivity = {},
                .windows = {}};
  for (const engine::json& text : engine::parse_json(meta("texts"), where)) c.texts.push_back(text.get<std::string>());
  const tensor_reader read{file.bytes(), header.tensors, where};
  const engine::json readers = engine::parse_json(meta("readers"), where);
  for (const auto& [name, names] : readers.items()) {
    precis::measure::input_statistics s;
    s.sums = read.operator()<double>(name + ".sum", engine::dtype::f64);
    s.absolute_sums = read.operator()<double>(name + ".absolute_sum", engine::dtype::f64);
    s.maxima = read.operator()<float>(name + ".maximum", engine::dtype::f32);
    const std::vector<double> gram = read.operator()<double>(name + ".gram", engine::dtype::f64);
    const auto tokens = read.operator()<std::int64_t>(name + ".tokens", engine::dtype::i64);
    const std::size_t n = s.sums.size();
    if (gram.size() != n * (n + 1) / 2 || s.absolute_sums.size() != n || s.maxima.size() != n || tokens.size() != 1 ||
        tokens[0] < 0)
      bad("statistics of " + name + " of different widths", "a file of precis calibrate");
    s.moments.tokens = static_cast<std::size_t>(tokens[0]);
    s.moments.sum = precis::basic_matrix<double>(n, n);
    for (std::size_t i = 0, k = 0; i < n; ++i)
      for (std::size_t j = 0; j <= i; ++j, ++k) {
        if (!std::isfinite(gram[k]))
          bad("statistics of " + name + " are not finite", "finite activations: calibrate again");
        s.moments.sum(i, j) = s.moments.sum(j, i) = gram[k];
      }
    for (const engine::json& each : names) {
      const auto at = std::ranges::find(matrices, each.get<std::string>(), &precis::matrix_info::name);
      if (at == matrices.end()) continue;  // a table that was calibrated with --tables
      if (at->in != n) bad(fmt::format("{} inputs of {}", n, at->name), fmt::format("{}, one per column", at->in));
      c.reads[static_cast<std::size_t>(at - matrices.begin())] = c.inputs.size();
    }
    c.inputs.push_back(std::move(s));
  }
  c.sensitivity = read.operator()<double>("sensitivity", engine::dtype::f64);
  c.sensitivity.resize(matrices.size());
  const auto ids = read.operator()<std::int32_t>("windows", engine::dtype::i32);
  std::size_t from = 0;
  for (const std::int32_t length : read.operator()<std::int32_t>("window_lengths", engine::dtype::i32)) {
    if (length <= 0 || from + static_cast<std::size_t>(length) > ids.size())
      bad("windows beyond the tokens", "a file of precis calibrate");
    const auto n = static_cast<std::size_t>(length);
    c.windows.push_back(precis::prompts(
        1, {ids.begin() + static_cast<std::ptrdiff_t>(from), ids.begin() + static_cast<std::ptrdiff_t>(from + n)}));
    from += n;
  }
  return c;
}

engine::imatrix importance_of(const calibration& c, const session& s) {
  engine::imatrix out{.tensors = {}, .datasets = c.texts, .chunks = c.windows.size(), .chunk_size = 0};
  if (!c.windows.empty()) out.chunk_size = c.windows.front().tokens;
  const std::span<const precis::matrix_info> matrices = s.model.matrices();
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    if (c.reads[m] == calibration::none) continue;
    const std::string name = engine::gguf_name(s.model.shape(), matrices[m].name + ".weight");
    if (name.empty())
      precis::refuse({.what = "matrix " + matrices[m].name + " has no name in GGUF",
                      .where = "--imatrix",
                      .expected = "a model of a family that llama.cpp's files can hold"});
    const precis::measure::input_statistics& in = c.inputs[c.reads[m]];
    engine::importance_sums t{.sums = {}, .counts = {static_cast<float>(in.tokens())}};
    for (std::size_t i = 0; i < in.width(); ++i) t.sums.push_back(static_cast<float>(in.moments.sum(i, i)));
    out.tensors.emplace(name, std::move(t));
  }
  return out;
}

}  // namespace program
