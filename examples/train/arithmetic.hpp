#pragma once

#include "trainer.hpp"

#include <engine/model/transformer.hpp>
#include <engine/model/weights.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/executor.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace train {

/// Everything a model that learns to reckon among other things is trained on and judged by.
///
/// A line of text is a sum, a product, a difference, a comparison, a count, a list put in order, or what comes after a day,
/// a month or a letter. Numbers from 0 to 361 are one token each, with and without a blank before them, so every task of
/// one kind has prompts of one length.
struct arithmetic_lesson {
  std::string vocab_json, merges_txt;
  engine::tokenizer tokenizer;
  corpus training;
  std::string held_out, calibration;
};

[[nodiscard]] arithmetic_lesson prepare_arithmetic(std::uint64_t seed, std::size_t training_bytes = 3'000'000);

/// A text of lines as above; other `what` are other draws.
[[nodiscard]] std::string arithmetic_text(std::uint64_t seed, std::string_view what, std::size_t bytes);

/// 4 layers of width 128.
[[nodiscard]] engine::config arithmetic_shape(std::size_t vocabulary);

/// What it knows: sums of 0 to 99 and products of 0 to 19, all pairs, by the most likely token after "3 + 4 =".
struct arithmetic_exam {
  std::size_t sums = 0, sums_right = 0;
  std::size_t products = 0, products_right = 0;
  double held_out_perplexity = 0;
};
[[nodiscard]] arithmetic_exam examine(const engine::transformer& model, const arithmetic_lesson& l,
                                      precis::thread_pool threads);

/// The model's folder, as that of a world.
void publish(const engine::weights& w, const arithmetic_lesson& l, const std::string& readme,
             const std::filesystem::path& folder);

}  // namespace train
