#pragma once

#include "trainer.hpp"
#include "world.hpp"

#include <engine/model/weights.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace train {

/// Training and evaluation data for a model of a world.
struct lesson {
  train::world world;
  std::string vocab_json, merges_txt;
  engine::tokenizer tokenizer;
  corpus training;
  std::string held_out, calibration;
  std::vector<question> questions;
};

/// The sizes of a lesson: tokens of the vocabulary and bytes of the texts.
struct lesson_size {
  std::size_t vocabulary = 1152;
  std::size_t training_bytes = 6'000'000;
  std::size_t held_out_bytes = 60'000;
  std::size_t calibration_bytes = 40'000;
};

/// Errors: an answer that is not one token (with the leading blank that it has after a prompt), by name.
[[nodiscard]] lesson prepare(std::uint64_t seed, const lesson_size& size = {});

/// The shape of the model that ships: 8 layers of width 64. It is small on purpose, so that its knowledge needs most of
/// its precision and is lost below three bits per weight.
[[nodiscard]] engine::config world_shape(std::size_t vocabulary);

/// The results of an evaluation.
struct exam {
  std::size_t asked = 0;
  std::size_t known = 0;  ///< questions whose answer is the most likely token
  std::array<std::size_t, relations> asked_of = {}, known_of = {};
  double held_out_perplexity = 0;  ///< over independent windows of the full context

  [[nodiscard]] double share() const noexcept { return static_cast<double>(known) / static_cast<double>(asked); }
};

[[nodiscard]] exam examine(const engine::transformer& model, const lesson& l, precis::thread_pool threads);

/// Writes the model's folder atomically: weights in binary16, tokenizer, facts, texts and a README. An existing model
/// folder is replaced.
void publish(const engine::weights& w, const lesson& l, const std::string& readme, const std::filesystem::path& folder);

}  // namespace train
