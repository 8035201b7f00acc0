#pragma once

#include "trainer.hpp"
#include "world.hpp"

#include <engine/model/weights.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/executor.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace train {

/// Everything a model of a world is trained on and judged by.
struct lesson {
  train::world world;
  std::string vocab_json, merges_txt;
  engine::tokenizer tokenizer;
  corpus training;
  std::string held_out, calibration;
  std::vector<question> questions;
};

/// How much of everything.
struct lesson_size {
  std::size_t vocabulary = 1152;
  std::size_t training_bytes = 6'000'000;
  std::size_t held_out_bytes = 60'000;
  std::size_t calibration_bytes = 40'000;
};

/// Errors: an answer that did not become one token (with the leading blank it has after a prompt), by name.
[[nodiscard]] lesson prepare(std::uint64_t seed, const lesson_size& size = {});

/// The shape of the model that ships: 8 layers of width 64. Small on purpose, so that what it knows takes most of
/// its precision and is lost below three bits a weight.
[[nodiscard]] engine::config world_shape(std::size_t vocabulary);

/// What a model knows of its lesson.
struct exam {
  std::size_t asked = 0;
  std::size_t known = 0;  ///< the answer is the most likely token
  std::array<std::size_t, relations> asked_of = {}, known_of = {};
  double held_out_perplexity = 0;  ///< windows of the whole context, each starting fresh

  [[nodiscard]] double share() const noexcept { return static_cast<double>(known) / static_cast<double>(asked); }
};

[[nodiscard]] exam examine(const engine::transformer& model, const lesson& l, precis::thread_pool threads);

/// The model's folder: weights in binary16, tokenizer, facts, texts and a README that says what they are. Atomic; a
/// model folder of that name is replaced.
void publish(const engine::weights& w, const lesson& l, const std::string& readme, const std::filesystem::path& folder);

}  // namespace train
