#pragma once

#include <engine/model/config_json.hpp>
#include <engine/model/weights.hpp>

#include "engine/tiny_models.hpp"
#include "run.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace test {

/// Writes a folder with a tiny BERT that embeds texts of at most `max_tokens` tokens: normalized means of rows, the
/// WordPiece vocabulary of tests/engine/checkpoints/bert, and weights that the seed determines.
inline void put_encoder(const std::filesystem::path& folder, std::size_t max_tokens = 16, std::uint64_t seed = 1) {
  const std::string config = R"({"architectures": ["BertModel"], "model_type": "bert", "vocab_size": 85,
      "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
      "hidden_act": "gelu", "max_position_embeddings": 24, "type_vocab_size": 2, "layer_norm_eps": 1e-12})";
  std::filesystem::create_directories(folder);
  write(folder / "config.json", config);
  const engine::weights w = support::sample_weights(engine::parse_config(config, "config.json"), seed);
  support::put_container(folder / "model.safetensors", support::entries_of(w));
  const std::filesystem::path bert = PRECIS_SOURCE_DIR "/tests/engine/checkpoints/bert";
  for (const char* name : {"vocab.txt", "tokenizer_config.json"}) std::filesystem::copy(bert / name, folder / name);
  std::filesystem::create_directories(folder / "1_Pooling");
  write(folder / "modules.json",
        R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
            {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
            {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}])");
  write(folder / "1_Pooling" / "config.json", R"({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": true})");
  write(folder / "sentence_bert_config.json", "{\"max_seq_length\": " + std::to_string(max_tokens) + "}");
}

}  // namespace test
