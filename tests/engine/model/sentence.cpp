#include <engine/model/sentence.hpp>

#include "catch.hpp"
#include "engine/support.hpp"
#include "refusal.hpp"

#include <filesystem>
#include <string>
#include <vector>

using engine::pooling;

TEST_CASE("sentence settings: a folder's modules, or what is refused by name", "[engine][encoder]") {
  const support::temporary_folder here;
  const std::filesystem::path folder = here.path();
  CHECK(engine::read_sentence_settings(folder, 4) == engine::sentence_settings{});
  std::filesystem::create_directories(folder / "1_Pooling");
  const auto modules = [&](const std::string& more) {
    support::put(folder / "modules.json",
                 R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
                     {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"})" +
                     more + "]");
  };
  modules(R"(, {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"})");
  support::put(folder / "1_Pooling" / "config.json",
               R"({"word_embedding_dimension": 4, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  support::put(folder / "sentence_bert_config.json", R"({"max_seq_length": 7})");
  const engine::sentence_settings s = engine::read_sentence_settings(folder, 4);
  CHECK(s.pooling == pooling::first);
  CHECK(s.normalize);
  CHECK(s.max_tokens == 7);
  CHECK(engine::sentence_files(folder).size() == 3);

  const auto refused = [&] { return refusal([&] { (void)engine::read_sentence_settings(folder, 4); }); };
  modules(R"(, {"type": "sentence_transformers.models.Dense", "path": "2_Dense"})");
  CHECK_THAT(refused(), ContainsSubstring("sentence_transformers.models.Dense"));
  modules("");
  support::put(folder / "1_Pooling" / "config.json", R"({"pooling_mode_lasttoken": true})");
  CHECK_THAT(refused(), ContainsSubstring("pooling_mode_lasttoken"));
  support::put(folder / "1_Pooling" / "config.json", R"({"pooling_mode_max_tokens": true})");
  CHECK_THAT(refused(), ContainsSubstring("does not join several"));
  support::put(folder / "1_Pooling" / "config.json", R"({"word_embedding_dimension": 5})");
  CHECK_THAT(refused(), ContainsSubstring("\"word_embedding_dimension\" is 5"));
}

TEST_CASE("sentence settings: poolings of two rows, and distances", "[engine][encoder][worked-example]") {
  const std::vector<float> rows{3, 0, 1, 4};
  const precis::matrix_view<const float> view(rows.data(), 2, 2, 2, 1);
  const auto pooled = [&](engine::sentence_settings s) {
    std::vector<float> out(2);
    engine::pool(s, view, out);
    return out;
  };
  CHECK(pooled({.pooling = pooling::mean}) == std::vector<float>{2, 2});
  CHECK(pooled({.pooling = pooling::first}) == std::vector<float>{3, 0});
  CHECK(pooled({.pooling = pooling::largest}) == std::vector<float>{3, 4});
  CHECK(pooled({.pooling = pooling::largest, .normalize = true}) == std::vector<float>{0.6f, 0.8f});
  const std::vector<float> a{2, 0}, b{0, 5}, zero{0, 0};
  CHECK(engine::cosine_distance(a, b) == Approx(1));
  CHECK(engine::cosine_distance(a, a) == 0);
  CHECK(engine::cosine_distance(a, zero) == 1);
}
