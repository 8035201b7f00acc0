#include "jobs/classifier.hpp"

#include "jobs/verdicts.hpp"

#include <engine/model_files/load.hpp>

#include <precis/core/error.hpp>
#include <precis/model/batch.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace program {

namespace {

[[nodiscard]] std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace

classifier open_classifier(const model_options& o) {
  engine::bundle b = load_bundle(o);
  classifier c{.name = last_part(o.path),
               .tokens = std::move(b.tokenizer),
               .model = engine::encoder(std::move(b.weights)),
               .labels = b.labels,
               .fingerprint = b.fingerprint};
  set_special_tokens(c.tokens, o);
  for (const std::size_t bytes : bytes_in_file(c.model.matrices(), b)) c.stored_bytes += bytes;
  return c;
}

std::string describe(const classifier& c) { return describe(c.model.shape(), c.model.matrices()); }
std::size_t weight_count(const classifier& c) { return weight_count(c.model.matrices()); }

std::vector<engine::text_batch> classify(const engine::tokenizer& tokenizer, const verdict_file& verdicts,
                                         std::span<const std::string> labels, std::size_t context) {
  std::vector<precis::token> id_of;  // [choices]
  for (const std::string& choice : verdicts.choices) {
    const auto at = std::ranges::find_if(labels, [&](const std::string& l) { return lower(l) == lower(choice); });
    if (at == labels.end())
      precis::refuse({.what = fmt::format("the label '{}', which the classifier does not have", choice),
                      .where = verdicts.name,
                      .expected = fmt::format("one of {}; --labels names the classifier's outputs in order",
                                              fmt::join(labels, ", "))});
    id_of.push_back(static_cast<precis::token>(at - labels.begin()));
  }
  std::vector<engine::text_batch> batches;
  for (std::size_t i = 0; i < verdicts.texts.size(); ++i) {
    std::vector<precis::token> ids = tokenizer.encode(verdicts.texts[i]);
    if (ids.size() > context) {  // cut the end of the text, keep [SEP]
      const precis::token end = ids.back();
      ids.resize(context);
      ids.back() = end;
    }
    batches.push_back(engine::texts(std::span(&ids, 1), {id_of[verdicts.labels[i]]}));
  }
  return batches;
}

}  // namespace program
