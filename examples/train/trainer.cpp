#include "trainer.hpp"

#include "dice.hpp"

#include <engine/files/files.hpp>
#include <engine/files/safetensors.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace train {
namespace {

constexpr std::string_view magic = "precis-training-1\n";

[[noreturn]] void bad(std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = "training", .expected = std::move(expected)});
}

/// Checks the recipe before anything is allocated.
[[nodiscard]] recipe checked(recipe r, const corpus& text) {
  engine::check(r.shape);
  if (r.shape.architecture != engine::architecture::gpt2) bad("a shape that is no GPT-2", "a GPT-2");
  if (r.shards == 0 || r.sequences == 0 || r.sequences % r.shards != 0)
    bad(fmt::format("{} sequences in {} shards", r.sequences, r.shards), "shards that divide the sequences");
  if (r.tokens == 0 || r.tokens > r.shape.context)
    bad(fmt::format("sequences of {} tokens", r.tokens), fmt::format("1 to {}, the context", r.shape.context));
  if (r.steps == 0 || r.warm_up >= r.steps)
    bad(fmt::format("{} steps with {} of warm-up", r.steps, r.warm_up), "more steps than warm-up");
  if (text.ids.size() <= r.tokens || text.starts.empty() || text.starts.front() != 0)
    bad(fmt::format("a text of {} tokens", text.ids.size()), fmt::format("more than {}, and paragraphs", r.tokens));
  for (const precis::token id : text.ids)
    if (id < 0 || static_cast<std::size_t>(id) >= r.shape.vocabulary)
      bad(fmt::format("token {} in the text", id), fmt::format("less than {}", r.shape.vocabulary));
  return r;
}

[[nodiscard]] std::span<const std::byte> bytes_of(std::span<const float> values) noexcept {
  return std::as_bytes(values);
}

}  // namespace

std::string recipe::describe() const {
  return fmt::format(
      "layers {} width {} heads {} hidden {} vocabulary {} context {} seed {} steps {} sequences {} tokens {} shards "
      "{} warm-up {} "
      "rate {} decay {} norm {} moments {} {} {}",
      shape.layers, shape.width, shape.heads, shape.hidden, shape.vocabulary, shape.context, seed, steps, sequences,
      tokens, shards, warm_up, peak_rate, weight_decay, largest_norm, optimizer.first_decay, optimizer.second_decay,
      optimizer.epsilon);
}

engine::weights initial_weights(const engine::config& shape, std::uint64_t seed) {
  engine::weights w = engine::zeros(shape);
  const double deviation = 0.5 / std::sqrt(static_cast<double>(shape.width));
  const double into_residual = deviation / std::sqrt(2.0 * static_cast<double>(shape.layers));
  for (const engine::tensor<float>& t : engine::tensors(w)) {
    if (t.shape.size() == 1) {
      const bool norm_scale = t.name.find("ln_") != std::string::npos && t.name.ends_with(".weight");
      std::fill(t.values.begin(), t.values.end(), norm_scale ? 1.f : 0.f);
      continue;
    }
    const double scale = t.name.ends_with("c_proj.weight") ? into_residual : deviation;
    const precis::random_stream stream(seed, precis::purpose(t.name));
    for (std::size_t i = 0; i < t.values.size(); ++i) t.values[i] = static_cast<float>(scale * stream.normal(i));
  }
  return w;
}

void round_to_half(engine::weights& w) {
  std::vector<std::byte> half;
  for (const engine::tensor<float>& t : engine::tensors(w)) {
    half.resize(t.values.size() * engine::size_of(engine::dtype::f16));
    engine::encode(engine::dtype::f16, t.values, half);
    engine::decode(engine::dtype::f16, half, t.values);
    for (const float value : t.values)
      if (!std::isfinite(value))
        bad("tensor " + t.name + " has a value beyond 65504", "a training run that did not diverge");
  }
}

trainer::trainer(recipe r, corpus text)
    : recipe_(checked(std::move(r), text)),
      text_(std::move(text)),
      model_(initial_weights(recipe_.shape, recipe_.seed)),
      first_moment_(engine::zeros(recipe_.shape)),
      second_moment_(engine::zeros(recipe_.shape)),
      gradients_(recipe_.shards, engine::zeros(recipe_.shape)),
      parameters_(engine::tensors(model_.parameters())),
      first_moment_tensors_(engine::tensors(first_moment_)),
      second_moment_tensors_(engine::tensors(second_moment_)),
      losses_(recipe_.shards),
      squares_(parameters_.size()) {
  for (engine::weights& g : gradients_) slopes_.push_back(engine::tensors(g));
}

precis::token_batch trainer::batch(std::size_t step, std::size_t shard) const {
  const std::size_t each = recipe_.sequences / recipe_.shards, length = recipe_.tokens + 1;
  const std::size_t last = text_.ids.size() - length;  // the last position where a sequence can begin
  const auto usable =
      static_cast<std::size_t>(std::upper_bound(text_.starts.begin(), text_.starts.end(), last) - text_.starts.begin());
  std::vector<precis::token> ids;
  for (std::size_t s = shard * each; s < (shard + 1) * each; ++s) {
    dice d(recipe_.seed, "windows", step * recipe_.sequences + s);
    const std::size_t begin = s % 2 == 0 ? text_.starts[d.below(usable)] : d.below(last + 1);
    const auto from = text_.ids.begin() + static_cast<std::ptrdiff_t>(begin);
    ids.insert(ids.end(), from, from + static_cast<std::ptrdiff_t>(length));
  }
  return precis::next_token_batch(each, ids);
}

precis::nll trainer::shard_gradient(std::size_t shard) {
  for (const engine::tensor<float>& t : slopes_[shard]) std::fill(t.values.begin(), t.values.end(), 0.f);
  return model_.backward(batch(step_, shard), [](const precis::linear_gradient&) {}, gradients_[shard]);
}

double trainer::add_shards(std::size_t tensor) {
  const std::span<float> sum = slopes_[0][tensor].values;
  for (std::size_t s = 1; s < slopes_.size(); ++s) {
    const std::span<const float> part = slopes_[s][tensor].values;
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
  }
  double square = 0;
  for (const float value : sum) square += static_cast<double>(value) * static_cast<double>(value);
  return square;
}

precis::nll trainer::begin_update() {
  precis::nll loss;
  for (const precis::nll& part : losses_) loss += part;
  double square = 0;
  for (const double part : squares_) square += part;
  const double count = static_cast<double>(loss.count);
  const double norm = std::sqrt(square) / count;
  if (!std::isfinite(norm)) bad(fmt::format("the gradient of step {} is not finite", step_), "a lower learning rate");
  scale_ = std::min(1.0, recipe_.largest_norm / norm) / count;
  rate_ = schedule{.steps = recipe_.steps, .warm_up = recipe_.warm_up, .peak = recipe_.peak_rate}(step_);
  return loss;
}

void trainer::update(std::size_t t) {
  const bool vector = parameters_[t].shape.size() == 1;
  recipe_.optimizer(parameters_[t].values, slopes_[0][t].values, first_moment_tensors_[t].values,
                    second_moment_tensors_[t].values, step_ + 1, static_cast<float>(rate_),
                    vector ? 0.f : recipe_.weight_decay, static_cast<float>(scale_));
}

std::string trainer::identity() const {
  std::uint64_t hash = 0;
  for (const precis::token id : text_.ids) hash = precis::mix64(hash ^ static_cast<std::uint64_t>(id));
  return fmt::format("{}{} text {:016x}\n", magic, recipe_.describe(), hash);
}

void trainer::save(const std::filesystem::path& file) const {
  engine::atomic_file out(file);
  out.write(identity());
  const std::uint64_t step = step_;
  out.write(std::as_bytes(std::span(&step, 1)));
  for (const auto* tensors : {&parameters_, &first_moment_tensors_, &second_moment_tensors_})
    for (const engine::tensor<float>& t : *tensors) out.write(bytes_of(t.values));
  out.commit();
}

void trainer::restore(const std::filesystem::path& file) {
  const engine::mapped_file in(file);
  const std::string id = identity();
  const auto refuse = [&](std::string what, std::string expected) {
    precis::refuse({.what = std::move(what), .where = file.string(), .expected = std::move(expected)});
  };
  if (!in.text().starts_with(magic)) refuse("not a checkpoint of a training run", "a file written by precis_train");
  if (!in.text().starts_with(id)) refuse("a checkpoint of another run", "the options that the run was started with");
  std::span<const std::byte> rest = in.bytes().subspan(id.size());
  std::size_t floats = 0;
  for (const engine::tensor<float>& t : parameters_) floats += 3 * t.values.size();
  if (rest.size() != sizeof(std::uint64_t) + floats * sizeof(float))
    refuse(fmt::format("{} bytes of state", rest.size()),
           fmt::format("{}", sizeof(std::uint64_t) + floats * sizeof(float)));
  const auto take = [&](void* into, std::size_t bytes) {
    std::memcpy(into, rest.data(), bytes);
    rest = rest.subspan(bytes);
  };
  std::uint64_t step = 0;
  take(&step, sizeof step);
  if (step > recipe_.steps) refuse(fmt::format("step {}", step), fmt::format("at most {}", recipe_.steps));
  step_ = step;
  for (const auto* tensors : {&parameters_, &first_moment_tensors_, &second_moment_tensors_})
    for (const engine::tensor<float>& t : *tensors) take(t.values.data(), t.values.size_bytes());
}

}  // namespace train
