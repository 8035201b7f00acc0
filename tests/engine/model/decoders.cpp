#include <engine/files/safetensors.hpp>
#include <engine/model/family.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/load.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/model/taps.hpp>

#include "catch.hpp"
#include "engine/float_bundle.hpp"
#include "shared.hpp"
#include "temporary_folder.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

using namespace precis;
using engine::transformer;

// Complete checkpoints of every family, laid out as their publishers do, with what the original implementations compute
// from them in double precision.

namespace {

struct tolerances {
  double logits = 3e-4, hidden = 3e-5, gradient = 2e-4;
};

struct golden_case {
  std::string folder;
  tolerances within = {};
};

const golden_case cases[] = {{"llama3"},
                             {"qwen3"},
                             {"gemma3_text"},
                             {"qwen2"},
                             {"smollm2"},
                             {"mistral"},
                             {"olmoe"},
                             {"qwen3_moe"},
                             {"mixtral"},
                             {"gpt_oss"},
                             {"gpt_oss_mxfp4"},
                             {"gemma2"},
                             {"phi3"},
                             {"olmo2"},
                             {"granite"},
                             {"smollm3"},
                             {"opt"},
                             {"gpt_neox"},
                             {"ministral3"},
                             {"gemma4_text", {1e-3, 1e-4, 5e-4}},
                             {"lfm2"},
                             {"granitemoehybrid"},
                             {"bamba"},
                             {"falcon_h1"},
                             {"qwen3_5", {1e-3, 1e-4, 5e-4}},
                             {"qwen3_next", {1e-3, 1e-4, 5e-4}}};

/// Squared norms of a tensor of the file and of its gradient, and their inner product.
struct norms {
  double w2 = 0, g2 = 0, wg = 0;
};

/// The name of the tensor of the file that one of the engine's is, or is a part of.
std::string name_in_file(const engine::config& c, const engine::knobs& k, const std::string& name) {
  const engine::family& f = engine::family_of(c);
  if (f.part_of != nullptr)
    if (const auto part = f.part_of(c, k, name)) return engine::hugging_face_name(f, part->whole, true);
  return engine::hugging_face_name(f, name, true);
}

std::vector<token> tokens_of(const nlohmann::json& list) { return list.get<std::vector<token>>(); }

std::vector<float> floats_of(const engine::safetensors& file, const std::string& name) {
  const engine::tensor_entry* const entry = file.find(name);
  REQUIRE(entry != nullptr);
  std::vector<float> values(entry->bytes / sizeof(float));
  engine::decode(entry->type, file.bytes(*entry), values);
  return values;
}

token largest(std::span<const float> logits) {
  return static_cast<token>(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace

TEST_CASE("decoders agree with the original implementations", "[engine][golden]") {
  const golden_case& of = GENERATE(from_range(std::begin(cases), std::end(cases)));
  const auto folder = shared_path("golden/families/" + of.folder);
  if (!folder) return;
  INFO(of.folder);
  const nlohmann::json expected = nlohmann::json::parse(std::ifstream(*folder / "expected.json"));
  const engine::safetensors values(*folder / "expected.safetensors");
  engine::bundle loaded = engine::load(*folder);
  const engine::packed_transformer packed(engine::load_packed(engine::open_source(*folder), {}));
  const transformer model(std::move(loaded.weights));
  const engine::config& c = model.shape();

  double nll_sum = 0;
  std::size_t predictions = 0;
  std::vector<std::vector<std::size_t>> routed(c.layers);
  engine::weights gradient = engine::zeros(c);
  for (std::size_t s = 0; s < expected["ids"].size(); ++s) {
    INFO("sequence " << s);
    const std::vector<token> ids = tokens_of(expected["ids"][s]);
    token_batch b = prompts(1, ids);
    for (std::size_t t = 0; t < ids.size(); ++t) b.targets.push_back(t + 1 < ids.size() ? ids[t + 1] : no_target);

    engine::cache filled;
    (void)model.capture(b, filled, tap::none{});
    const float_matrix logits = model.logits(b, positions::all);
    const std::vector<float> wanted = floats_of(values, "logits." + std::to_string(s));
    REQUIRE(wanted.size() == logits.values.size());
    double worst = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(wanted[i]) - static_cast<double>(logits.values[i])));
    CHECK(worst < of.within.logits);

    const std::vector<float> hidden = floats_of(values, "hidden." + std::to_string(s));
    REQUIRE(hidden.size() == (c.layers + 1) * c.width);
    double largest_hidden = 0, worst_hidden = 0;
    for (std::size_t l = 0; l <= c.layers; ++l)
      for (std::size_t f = 0; f < c.width; ++f) {
        const double want = static_cast<double>(hidden[l * c.width + f]);
        largest_hidden = std::max(largest_hidden, std::abs(want));
        const auto have = static_cast<double>(filled.residual(l)(0, ids.size() - 1)[f]);
        worst_hidden = std::max(worst_hidden, std::abs(want - have));
      }
    CHECK(worst_hidden < of.within.hidden * largest_hidden);

    const nll loss = model.backward(b, [](const linear_gradient&) {}, gradient);
    CHECK(loss == model.loss(b));
    CHECK(loss.sum / static_cast<double>(loss.count) == Approx(expected["nll"][s].get<double>()).margin(2e-5));
    CHECK(packed.loss(b).sum / static_cast<double>(loss.count) ==
          Approx(expected["nll"][s].get<double>()).margin(2e-5));
    nll_sum += loss.sum;
    predictions += loss.count;
    const auto counts = model.routed(b);
    for (std::size_t l = 0; l < c.layers; ++l) {
      routed[l].resize(counts[l].size());
      for (std::size_t e = 0; e < counts[l].size(); ++e) routed[l][e] += counts[l][e];
    }
  }
  CHECK(nll_sum / static_cast<double>(predictions) == Approx(expected["nll_mean"].get<double>()).margin(2e-5));

  std::erase_if(routed, [](const auto& layer) { return layer.empty(); });
  if (expected.contains("routed"))
    CHECK(routed == expected["routed"].get<std::vector<std::vector<std::size_t>>>());
  else
    CHECK(routed.empty());

  // Gradients are those of the mean over all predictions.
  std::map<std::string, norms> of_file;
  engine::knobs settings = model.settings();
  settings.mxfp4 = false;
  const std::vector<engine::tensor_values> weights = all_values(model.parameters());
  const auto slopes = tensors(std::as_const(gradient));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    norms& n = of_file[name_in_file(c, settings, weights[i].name)];
    const std::span<const float> own = weights[i].read();
    for (std::size_t j = 0; j < own.size(); ++j) {
      const auto w = static_cast<double>(own[j]);
      const double g = static_cast<double>(slopes[i].values[j]) / static_cast<double>(predictions);
      n.w2 += w * w;
      n.g2 += g * g;
      n.wg += w * g;
    }
  }
  double most = 0;
  for (const auto& [name, wanted] : expected["gradients"].items()) most = std::max(most, wanted["g2"].get<double>());
  std::size_t compared = 0;
  for (const auto& [name, wanted] : expected["gradients"].items()) {
    INFO(name);
    const double w2 = wanted["w2"], g2 = wanted["g2"], wg = wanted["wg"];
    if (!of_file.contains(name)) {
      CHECK(g2 == 0);  // the file holds it, the model does not use it
      continue;
    }
    const norms& n = of_file[name];
    CHECK(n.w2 == Approx(w2).epsilon(1e-5));
    if (g2 <= 1e-12 * most) continue;
    ++compared;
    CHECK(n.g2 == Approx(g2).epsilon(of.within.gradient));
    CHECK(std::abs(n.wg - wg) < of.within.gradient * std::sqrt(w2 * g2));
  }
  CHECK(compared > 3 * c.layers);

  // Sixteen tokens after the first eight of sequence 0, each from a run of the whole text and from a cache.
  std::vector<token> text = tokens_of(expected["ids"][0]);
  text.resize(8);
  std::vector<token> from_whole, from_cache;
  engine::packed_transformer::sequence cached = packed.begin(64);
  std::span<const float> next = packed.append(cached, text);
  for (std::size_t i = 0; i < 16; ++i) {
    from_whole.push_back(largest(model.logits(prompts(1, text), positions::last).values));
    from_cache.push_back(largest(next));
    text.push_back(from_whole.back());
    if (i < 15) next = packed.append(cached, std::vector<token>{from_cache.back()});
  }
  const auto greedy = tokens_of(expected["greedy"]["continuation"]);
  CHECK(from_whole == greedy);
  CHECK(from_cache == greedy);
}

namespace {

/// A codec that stores floats as they are, so that a packed matrix has the same values.
engine::matrix_decoder plain_floats() {
  return {.bytes = [](std::string_view, std::size_t out, std::size_t in) { return out * in * sizeof(float); },
          .decode =
              [](std::string_view, std::span<const std::byte> packed, mutable_weight_view to) {
                std::vector<float> values(to.rows * to.cols);
                engine::decode(engine::dtype::f32, packed, values);
                for (std::size_t r = 0; r < to.rows; ++r)
                  for (std::size_t c = 0; c < to.cols; ++c) to(r, c) = values[r * to.cols + c];
              }};
}

/// Whether two models have the same loss and the same gradients, to the bit.
void check_same(const transformer& a, const transformer& b, const token_batch& batch) {
  engine::weights of_a = engine::zeros(a.shape()), of_b = engine::zeros(a.shape());
  const auto ignore = [](const linear_gradient&) {};
  CHECK(a.backward(batch, ignore, of_a) == b.backward(batch, ignore, of_b));
  CHECK(a.loss(batch) == b.loss(batch));
  const auto left = tensors(std::as_const(of_a)), right = tensors(std::as_const(of_b));
  for (std::size_t i = 0; i < left.size(); ++i) {
    INFO(left[i].name);
    CHECK(std::ranges::equal(left[i].values, right[i].values));
  }
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  const bool shards = std::filesystem::exists(folder / "model.safetensors.index.json");
  const engine::safetensors file(folder / (shards ? "model.safetensors.index.json" : "model.safetensors"));
  for (const engine::tensor_entry& t : file.tensors()) names.push_back(t.name);
  std::ranges::sort(names);
  return names;
}

}  // namespace

TEST_CASE("decoders are saved with the published names, and compressed folders of them load", "[engine][golden]") {
  const golden_case& of = GENERATE(from_range(std::begin(cases), std::end(cases)));
  const auto folder = shared_path("golden/families/" + of.folder);
  if (!folder) return;
  INFO(of.folder);
  const temporary_folder into;
  const engine::bundle loaded = support::float_bundle(*folder);
  const auto same_values = [&](const engine::weights& other) {
    const auto a = tensors(loaded.weights), b = tensors(other);
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      INFO(a[i].name);
      CHECK(a[i].name == b[i].name);
      CHECK(std::ranges::equal(a[i].values, b[i].values));
    }
  };

  engine::save(engine::load(*folder).weights, into / "saved");
  same_values(support::float_bundle(into / "saved").weights);
  const std::string model_type(engine::family_of(loaded.config()).model_type);
  const bool engines_names = model_type == "llama" || of.folder == "gpt_oss_mxfp4";
  if (!engines_names) {  // a Llama is saved under the engine's names, MXFP4 as floats
    std::vector<std::string> published = names_in(*folder);
    const std::vector<std::string> saved = names_in(into / "saved");
    CHECK(std::ranges::includes(published, saved));  // published files may hold more than the model uses
  }

  // One matrix in three packed, whole experts and parts of larger tensors among them; the others keep their bytes.
  const std::vector<matrix_info> infos = engine::matrices_of(loaded.config());
  std::vector<engine::compressed_matrix> packed;
  for (std::size_t m = 0; m < infos.size(); m += 3) {
    const weight_view w = engine::map_of(loaded.weights, m).view();
    packed.push_back({.name = infos[m].name,
                      .codec = "plain",
                      .bytes = w.rows * w.cols * sizeof(float),
                      .pack = [w](std::span<std::byte> bytes) {
                        std::vector<float> values;
                        for (std::size_t r = 0; r < w.rows; ++r)
                          for (std::size_t c = 0; c < w.cols; ++c) values.push_back(w(r, c));
                        engine::encode(engine::dtype::f32, values, bytes);
                      }});
  }
  engine::write_compressed(*folder, into / "compressed", packed);
  same_values(support::float_bundle(into / "compressed", {.tokenizer = {}, .decoder = plain_floats()}).weights);
}

TEST_CASE("weights that stay in their file give the bits of floats", "[engine][golden][property]") {
  const golden_case& of = GENERATE(from_range(std::begin(cases), std::end(cases)));
  const auto folder = shared_path("golden/families/" + of.folder);
  if (!folder) return;
  INFO(of.folder);
  const nlohmann::json expected = nlohmann::json::parse(std::ifstream(*folder / "expected.json"));
  const std::vector<token> ids = tokens_of(expected["ids"][0]);
  engine::weights floats = engine::load(*folder).weights;
  engine::to_floats(floats);
  CHECK(engine::fingerprint(floats) == engine::load(*folder).fingerprint);
  check_same(transformer(engine::load(*folder).weights), transformer(std::move(floats)), next_token_batch(1, ids));
}

TEST_CASE("end tokens that config.json keeps in text_config end a text", "[engine][golden]") {
  const auto folder = shared_path("golden/families/qwen3_5");
  if (!folder) return;
  const temporary_folder copy;
  std::filesystem::copy(*folder, copy / "m");
  std::filesystem::remove(copy / "m" / "generation_config.json");
  CHECK(engine::load(copy / "m").eos == std::vector<token>{367});
}
