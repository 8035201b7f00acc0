#include <engine/model/family.hpp>
#include <engine/model/gguf_family.hpp>
#include <engine/model/sentence.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/gguf_model.hpp>
#include <engine/model_files/load.hpp>
#include <engine/model_files/source.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/codec/blocks/block_matrix.hpp>
#include <precis/core/menu.hpp>

#include "catch.hpp"
#include "engine/float_bundle.hpp"
#include "engine/support.hpp"
#include "refusal.hpp"
#include "shared.hpp"
#include "temporary_folder.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

// Complete checkpoints of every family, written as GGUF and read back.

namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;

const engine::load_options decoding{.tokenizer = {},
                                    .decoder = engine::decoder_of<precis::menu<precis::codec::mxfp4>>()};

/// How far a family's way to GGUF and back is exact.
enum class back {
  equal,   ///< every tensor, to the bit
  logged,  ///< all but A_log in float32, of which a file has -e^A_log: the last bit may differ
  folded,  ///< multipliers are in the weights: the same function
};
struct gguf_case {
  std::string folder;
  back is = back::equal;
  std::string warning = {};  ///< part of one that must be there
};
const gguf_case cases[] = {{"llama3"},
                           {"smollm2"},
                           {"qwen2"},
                           {"qwen3"},
                           {"qwen3_moe"},
                           {"qwen3_next", back::equal, "values are not as wide as its keys"},
                           {"qwen3_5", back::logged, "values are not as wide as its keys"},
                           {"gemma2", back::equal, "ignores the attention scale"},
                           {"gemma3_text", back::equal, "ignores the attention scale"},
                           {"gemma4_text"},
                           {"mistral", back::equal, "ignores the window of 12 positions"},
                           {"mixtral"},
                           {"ministral3"},
                           {"olmo2"},
                           {"olmoe"},
                           {"gpt_oss", back::equal, "limits the gate to 7"},
                           {"gpt_oss_mxfp4", back::equal, "limits the gate to 7"},
                           {"phi3"},
                           {"granite"},
                           {"granitemoehybrid"},
                           {"bamba"},
                           {"falcon_h1", back::folded},
                           {"smollm3"},
                           {"gpt_neox", back::equal, "computes GELU by its approximation"},
                           {"lfm2"},
                           {"bert"},
                           {"distilbert"},
                           {"roberta"},
                           {"xlm_roberta"},
                           {"modernbert"},
                           {"t5_encoder"}};

}  // namespace

TEST_CASE("every family of llama.cpp goes to GGUF and back", "[engine][gguf][golden]") {
  const gguf_case& of = GENERATE(from_range(std::begin(cases), std::end(cases)));
  const auto folder = shared_path("golden/families/" + of.folder);
  if (!folder) return;
  INFO(of.folder);
  const temporary_folder out;
  const engine::compressed_sizes sizes = engine::write_gguf(*folder, out / "m.gguf", {});
  std::string warnings;
  for (const std::string& w : sizes.warnings) warnings += w + "\n";
  INFO(warnings);
  CHECK(warnings.find(of.warning) != std::string::npos);

  const engine::bundle there = support::float_bundle(*folder), back = support::float_bundle(out / "m.gguf", decoding);
  REQUIRE(back.config().architecture == there.config().architecture);
  const std::vector<engine::tensor<const float>> before = engine::tensors(there.weights),
                                                 after = engine::tensors(back.weights);
  REQUIRE(before.size() == after.size());
  const std::size_t absent = there.config().knobs && there.config().knobs->padding != engine::no_padding
                                 ? there.config().knobs->padding + 1
                                 : 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    INFO(before[i].name);
    CHECK(before[i].name == after[i].name);
    REQUIRE(before[i].shape == after[i].shape);
    std::size_t differing = 0;
    const bool positions = before[i].name.find("position_embeddings") != std::string::npos;
    for (std::size_t j = positions ? absent * before[i].shape[1] : 0; j < before[i].values.size(); ++j)
      differing += before[i].values[j] != after[i].values[j] ? 1u : 0u;
    const bool logged = of.is == back::logged && before[i].name.find("A_log") != std::string::npos;
    for (std::size_t j = 0; logged && j < before[i].values.size(); ++j)
      CHECK(after[i].values[j] == Approx(before[i].values[j]).epsilon(2e-7));
    if (of.is != back::folded && !logged) CHECK(differing == 0);
  }
  if (of.is == back::equal && absent == 0) CHECK(back.fingerprint == there.fingerprint);

  if (!engine::family_of(there.config()).causal) return;
  const nlohmann::json expected = nlohmann::json::parse(std::ifstream(*folder / "expected.json"));
  const engine::transformer model(back.weights);
  for (std::size_t s = 0; s < expected["ids"].size(); ++s) {
    const auto ids = expected["ids"][s].get<std::vector<precis::token>>();
    const precis::token_batch batch = precis::next_token_batch(1, ids);
    const precis::nll loss = model.loss(batch);
    CHECK(loss.mean() == Approx(expected["nll"][s].get<double>()).margin(3e-5));
  }
}

TEST_CASE("a family or a setting that llama.cpp does not know is refused in one sentence", "[engine][gguf][refusal]") {
  const auto opt = shared_path("golden/families/opt"), mpnet = shared_path("golden/families/mpnet");
  if (!opt || !mpnet) return;
  const temporary_folder out;
  for (const fs::path& folder : {*opt, *mpnet})
    CHECK_THAT(refusal([&] { engine::write_gguf(folder, out / "m.gguf", {}); }),
               ContainsSubstring("for which llama.cpp has no architecture; expected a folder as the output"));
  CHECK(out.entries() == 0);
}

TEST_CASE("a GGUF file of an encoder pools as its folder does, or is refused", "[engine][gguf][encoder]") {
  const auto folder = shared_path("golden/families/bert");
  if (!folder) return;
  const temporary_folder out;
  const fs::path copy = out / "encoder";
  fs::copy(*folder, copy, fs::copy_options::recursive);
  const std::size_t width = engine::read_folder_config(copy).width;
  const auto pools_by = [&](const std::string& flag) {
    support::put(copy / "modules.json",
                 R"([{"type": "sentence_transformers.models.Transformer"},
                     {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}])");
    support::put(copy / "1_Pooling" / "config.json", "{\"pooling_mode_mean_tokens\": false, \"" + flag + "\": true}");
  };
  pools_by("pooling_mode_cls_token");
  engine::write_gguf(copy, out / "first.gguf", {});
  CHECK(engine::read_sentence_settings(out / "first.gguf", width).pooling == engine::pooling::first);
  engine::write_gguf(out / "first.gguf", out / "again.gguf", {});
  CHECK(engine::read_sentence_settings(out / "again.gguf", width).pooling == engine::pooling::first);
  pools_by("pooling_mode_max_tokens");
  CHECK_THAT(refusal([&] { engine::write_gguf(copy, out / "largest.gguf", {}); }),
             ContainsSubstring("which llama.cpp does not support; expected mean or cls"));
  CHECK_FALSE(fs::exists(out / "largest.gguf"));
}
