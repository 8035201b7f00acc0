#pragma once

#include "trainer.hpp"

#include <engine/model/transformer.hpp>
#include <engine/model/weights.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace train {

/// Training and evaluation data for arithmetic and other small tasks.
///
/// A line of text is a sum, a product, a difference, a comparison, a count, a sorted list, or the successor of a day, a
/// month or a letter. Each number from 0 to 361 is one token, with and without a leading blank, so all prompts of a
/// task have the same length.
struct arithmetic_lesson {
  std::string vocab_json, merges_txt;
  engine::tokenizer tokenizer;
  corpus training;
  std::string held_out, calibration;
};

[[nodiscard]] arithmetic_lesson prepare_arithmetic(std::uint64_t seed, std::size_t training_bytes = 3'000'000);

/// A text of such lines. Different values of `purpose` give independent texts.
[[nodiscard]] std::string arithmetic_text(std::uint64_t seed, std::string_view purpose, std::size_t bytes);

/// The shape of the model: 4 layers of width 128.
[[nodiscard]] engine::config arithmetic_shape(std::size_t vocabulary);

/// Accuracy on all sums of 0 to 99 and all products of 0 to 19: whether the most likely token after "3 + 4 =" is
/// correct.
struct arithmetic_exam {
  std::size_t sums = 0, sums_right = 0;
  std::size_t products = 0, products_right = 0;
  double held_out_perplexity = 0;
};
[[nodiscard]] arithmetic_exam examine(const engine::transformer& model, const arithmetic_lesson& l,
                                      precis::thread_pool threads);

/// Writes the model's folder, like `publish` for a world.
void publish(const engine::weights& w, const arithmetic_lesson& l, const std::string& readme,
             const std::filesystem::path& folder);

}  // namespace train
