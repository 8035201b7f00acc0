#include "world_model.hpp"

#include "byte_pairs.hpp"

#include <engine/files/safetensors.hpp>
#include <engine/model_files/load.hpp>

#include <precis/core/error.hpp>
#include <precis/core/thread_pool.hpp>
#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/perplexity.hpp>

#include <algorithm>

namespace train {

lesson prepare(std::uint64_t seed, const lesson_size& size) {
  lesson l;
  l.world = make_world(seed);
  const std::string text = text_of(l.world, text_kind::training, size.training_bytes);
  const byte_pairs learned = learn_byte_pairs(text, size.vocabulary);
  l.vocab_json = learned.vocab_json();
  l.merges_txt = learned.merges_txt();
  l.tokenizer = engine::byte_bpe(l.vocab_json, l.merges_txt);
  for (const world_fact& f : l.world.facts)
    if (const std::vector<precis::token> ids = l.tokenizer.encode(" " + f.answer, engine::start::middle);
        ids.size() != 1)
      precis::refuse({.what = "the answer \"" + f.answer + "\" is " + std::to_string(ids.size()) + " tokens",
                      .where = "tokenizer training",
                      .expected = "one token: use a larger vocabulary or more text"});

  bool at_start = true;
  for (const engine::token_span& t : l.tokenizer.encode_with_offsets(text)) {
    if (at_start) l.training.starts.push_back(l.training.ids.size());
    l.training.ids.push_back(t.id);
    at_start = text[t.end_byte - 1] == '\n';
  }
  l.held_out = text_of(l.world, text_kind::held_out, size.held_out_bytes);
  l.calibration = text_of(l.world, text_kind::calibration, size.calibration_bytes);
  l.questions = ask(l.world);
  return l;
}

engine::config world_shape(std::size_t vocabulary) {
  return {.layers = 8, .width = 64, .heads = 4, .kv_heads = 4, .hidden = 256, .vocabulary = vocabulary, .context = 64};
}

exam examine(const engine::transformer& model, const lesson& l, precis::thread_pool threads) {
  exam e;
  e.asked = l.questions.size();
  std::vector<char> right(e.asked);
  threads.for_each(e.asked, [&](std::size_t i) {
    const question& q = l.questions[i];
    const precis::float_matrix z =
        model.logits(precis::prompts(1, l.tokenizer.encode(q.prompt)), precis::positions::last);
    const precis::token answer = l.tokenizer.encode(" " + l.world.facts[q.fact].answer, engine::start::middle).front();
    right[i] = precis::measure::argmax(z.row(0)) == static_cast<std::size_t>(answer);
  });
  for (std::size_t i = 0; i < e.asked; ++i) {
    const auto r = static_cast<std::size_t>(l.world.facts[l.questions[i].fact].relation);
    const std::size_t one = right[i] ? 1 : 0;
    e.known += one;
    e.known_of[r] += one;
    ++e.asked_of[r];
  }
  const std::vector<precis::token> ids = l.tokenizer.encode(l.held_out);
  const std::size_t context = model.shape().context;
  std::vector<precis::token_batch> windows;
  for (std::size_t at = 0; at + context < ids.size(); at += context)
    windows.push_back(precis::next_token_batch(1, std::span<const precis::token>(ids).subspan(at, context + 1)));
  e.held_out_perplexity =
      precis::evaluate::perplexity{}(model, std::span<const precis::token_batch>(windows), threads).perplexity();
  return e;
}

void publish(const engine::weights& w, const lesson& l, const std::string& readme,
             const std::filesystem::path& folder) {
  engine::save(w, folder, engine::dtype::f16,
               {{"vocab.json", l.vocab_json},
                {"merges.txt", l.merges_txt},
                {"facts.json", facts_json(l.world, l.questions)},
                {"heldout.txt", l.held_out},
                {"calibration.txt", l.calibration},
                {"README.md", readme}},
               engine::atomic_folder::existing::replace);
}

}  // namespace train
