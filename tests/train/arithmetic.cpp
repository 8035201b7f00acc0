#include <train/arithmetic.hpp>

#include "catch.hpp"

#include <engine/files/files.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include <filesystem>
#include <string>
#include <utility>

namespace {

namespace fs = std::filesystem;

const fs::path folder = fs::path(PRECIS_SOURCE_DIR) / "examples/models/arithmetic";

std::string shipped(const char* name) { return std::string(engine::mapped_file(folder / name).text()); }

}  // namespace

TEST_CASE("the arithmetic model's texts are those of seed 1", "[train][arithmetic][property]") {
  CHECK(shipped("heldout.txt") == train::arithmetic_text(1, "arithmetic held out", 40'000));
  CHECK(shipped("calibration.txt") == train::arithmetic_text(1, "arithmetic calibration", 30'000));
  CHECK(train::arithmetic_text(1, "a", 1000) != train::arithmetic_text(2, "a", 1000));
  CHECK(fs::file_size(folder / "model.safetensors") <= 3'000'000);
}

TEST_CASE("the arithmetic model's tokenizer is learned from its training text; numbers are tokens",
          "[train][arithmetic][slow][property]") {
  const train::arithmetic_lesson l = train::prepare_arithmetic(1);
  CHECK(shipped("vocab.json") == l.vocab_json);
  CHECK(shipped("merges.txt") == l.merges_txt);
  for (const std::size_t n : {0u, 9u, 10u, 99u, 100u, 361u}) {
    CHECK(l.tokenizer.encode(std::to_string(n)).size() == 1);
    CHECK(l.tokenizer.encode(" " + std::to_string(n)).size() == 1);
  }
}

TEST_CASE("the arithmetic model has the accuracy that its README states", "[train][arithmetic][property]") {
  engine::bundle loaded = engine::load(folder);
  train::arithmetic_lesson l{.vocab_json = {},
                             .merges_txt = {},
                             .tokenizer = loaded.tokenizer,
                             .training = {},
                             .held_out = shipped("heldout.txt"),
                             .calibration = {}};
  const train::arithmetic_exam exam =
      train::examine(engine::transformer(std::move(loaded.weights)), l, precis::thread_pool{});
  const std::string page = shipped("README.md");
  const auto check_row = [&](const char* what, std::size_t right, std::size_t of) {
    CHECK_THAT(page, ContainsSubstring("| " + std::string(what) + " | " + std::to_string(right) + " | " +
                                       std::to_string(of) + " |"));
  };
  check_row("sums of 0 to 99", exam.sums_right, exam.sums);
  check_row("products of 0 to 19", exam.products_right, exam.products);
  CHECK(exam.held_out_perplexity == Approx(6.744).margin(1e-3));
}
