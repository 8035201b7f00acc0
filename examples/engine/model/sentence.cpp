#include <engine/model/sentence.hpp>

#include <engine/files/files.hpp>
#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>
#include <precis/core/shown.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <system_error>
#include <vector>

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr double least_length = 1e-12;  // of a vector that is divided by its length

/// Names under which folders state the longest text; older ones have the architecture in it.
constexpr const char* length_files[] = {"sentence_bert_config.json", "sentence_roberta_config.json",
                                        "sentence_distilbert_config.json", "sentence_xlm-roberta_config.json",
                                        "sentence_xlnet_config.json"};

struct named_pooling {
  std::string_view flag, name;
  engine::pooling pooling;
};
constexpr named_pooling poolings[] = {
    {"pooling_mode_mean_tokens", "mean", pooling::mean},
    {"pooling_mode_cls_token", "cls", pooling::first},
    {"pooling_mode_max_tokens", "max", pooling::largest},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", pooling::root_mean}};
constexpr const char* known_poolings = "one of mean, cls, max and mean_sqrt_len_tokens";

[[nodiscard]] bool there_is(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

[[nodiscard]] pooling read_pooling(const json_object& keys) {
  if (keys.find("pooling_mode") != nullptr) {
    const std::string name = keys.text("pooling_mode");
    for (const named_pooling& p : poolings)
      if (name == p.name) return p.pooling;
    keys.refuse("key \"pooling_mode\" is \"" + precis::shown(name) + "\", which this engine does not support",
                known_poolings);
  }
  for (const char* const other : {"pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"})
    if (keys.flag_or(other, false))
      keys.refuse("key \"" + std::string(other) + "\" is true, which this engine does not support", known_poolings);
  const named_pooling* chosen = nullptr;
  for (const named_pooling& p : poolings) {
    if (!keys.flag_or(p.flag, p.pooling == pooling::mean)) continue;
    if (chosen != nullptr)
      keys.refuse("keys \"" + std::string(chosen->flag) + "\" and \"" + std::string(p.flag) +
                      "\" are true: this engine does not join several poolings",
                  known_poolings);
    chosen = &p;
  }
  if (chosen == nullptr) keys.refuse("no way of pooling", known_poolings);
  return chosen->pooling;
}

/// The length of a pooled vector, at least `least_length`.
[[nodiscard]] double length_of(std::span<const double> v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::max(std::sqrt(sum), least_length);
}

/// Pools without normalizing. `at` receives the row of each feature's largest value, if it is not null.
[[nodiscard]] std::vector<double> pooled(pooling p, precis::matrix_view<const float> rows, std::size_t* at) {
  std::vector<double> out(rows.cols);
  const auto tokens = static_cast<double>(rows.rows);
  for (std::size_t f = 0; f < rows.cols; ++f) {
    if (p == pooling::first) {
      out[f] = static_cast<double>(rows(0, f));
      continue;
    }
    if (p == pooling::largest) {
      std::size_t best = 0;
      for (std::size_t t = 1; t < rows.rows; ++t)
        if (rows(t, f) > rows(best, f)) best = t;
      out[f] = static_cast<double>(rows(best, f));
      if (at != nullptr) at[f] = best;
      continue;
    }
    for (std::size_t t = 0; t < rows.rows; ++t) out[f] += static_cast<double>(rows(t, f));
    out[f] /= p == pooling::mean ? tokens : std::sqrt(tokens);
  }
  return out;
}

}  // namespace

std::string_view to_string(pooling p) noexcept {
  for (const named_pooling& n : poolings)
    if (n.pooling == p) return n.name;
  return "mean";
}

namespace {

/// A GGUF file states how rows are pooled, and nothing else.
[[nodiscard]] sentence_settings read_gguf_settings(const fs::path& path) {
  const mapped_file file(path);
  const std::string where = path.string();
  const gguf_header header = parse_gguf(file.bytes(), where);
  const gguf_keys keys(header, where);
  const std::string key = std::string(keys.text("general.architecture")) + ".pooling_type";
  sentence_settings s{.from = where};
  if (const std::size_t pooled = keys.whole_number_or(key, 1); pooled == 2)
    s.pooling = pooling::first;
  else if (pooled > 1)
    keys.refuse(key, "1, the mean of a text's rows, or 2, the first of them");
  return s;
}

}  // namespace

sentence_settings read_sentence_settings(const fs::path& folder, std::size_t width) {
  std::error_code ignored;
  if (fs::is_regular_file(folder, ignored)) return read_gguf_settings(folder);
  sentence_settings s;
  const auto object_of = [](const fs::path& file) { return parse_json(mapped_file(file).text(), file.string()); };
  for (const char* const name : length_files) {
    if (!there_is(folder / name)) continue;
    const json root = object_of(folder / name);
    const json_object keys(root, (folder / name).string());
    s.max_tokens = keys.whole_number_or("max_seq_length", 0);
    if (keys.flag_or("do_lower_case", false))
      keys.refuse("key \"do_lower_case\" is true, which this engine does not support",
                  "false, and a tokenizer.json that lowers texts itself");
    break;
  }
  const fs::path modules = folder / "modules.json";
  if (!there_is(modules)) return s;
  s.from = modules.string();
  const json list = object_of(modules);
  const auto refuse = [&](std::string what, std::string expected) {
    precis::refuse({.what = std::move(what), .where = s.from, .expected = std::move(expected)});
  };
  constexpr const char* supported = "Transformer, then Pooling, then Normalize or nothing";
  if (!list.is_array() || list.empty()) refuse(type_of(list), "a list of modules");
  std::vector<std::string> order;
  for (const json& entry : list) {
    const json_object module(entry, s.from);
    const std::string type = module.text("type"), name = type.substr(type.rfind('.') + 1);
    order.push_back(name);
    if (name == "Transformer" && order.size() == 1) continue;
    if (name == "Normalize" && order.size() == 3 && order[1] == "Pooling") {
      s.normalize = true;
      continue;
    }
    if (name != "Pooling" || order.size() != 2)
      refuse("module " + std::to_string(order.size() - 1) + " of type \"" + precis::shown(type) +
                 "\", which this engine does not support there",
             supported);
    const fs::path file = folder / module.text_or("path", "1_Pooling") / "config.json";
    const json root = object_of(file);
    const json_object keys(root, file.string());
    s.pooling = read_pooling(keys);
    for (const char* const extent : {"word_embedding_dimension", "embedding_dimension"})
      if (const std::size_t wide = keys.whole_number_or(extent, width); wide != width)
        keys.refuse("key \"" + std::string(extent) + "\" is " + std::to_string(wide),
                    std::to_string(width) + ", the model's width");
  }
  if (order.size() < 2) refuse("no module that pools", supported);
  return s;
}

std::vector<fs::path> sentence_files(const fs::path& folder) {
  std::vector<fs::path> files;
  const fs::path modules = folder / "modules.json";
  if (!there_is(modules)) return files;
  files.emplace_back("modules.json");
  for (const char* const name : length_files)
    if (there_is(folder / name)) files.emplace_back(name);
  if (there_is(folder / "config_sentence_transformers.json")) files.emplace_back("config_sentence_transformers.json");
  const json list = parse_json(mapped_file(modules).text(), modules.string());
  for (const json& entry : list) {
    const std::string path = json_object(entry, modules.string()).text_or("path", "");
    if (!path.empty() && there_is(folder / path / "config.json")) files.push_back(fs::path(path) / "config.json");
  }
  return files;
}

void pool(const sentence_settings& s, precis::matrix_view<const float> rows, std::span<float> out) {
  const std::vector<double> v = pooled(s.pooling, rows, nullptr);
  const double length = s.normalize ? length_of(v) : 1;
  for (std::size_t f = 0; f < v.size(); ++f) out[f] = static_cast<float>(v[f] / length);
}

void pool_backward(const sentence_settings& s, precis::matrix_view<const float> rows, std::span<const float> d_out,
                   precis::matrix_view<float> d_rows) {
  std::vector<std::size_t> at(rows.cols);
  const std::vector<double> v = pooled(s.pooling, rows, at.data());
  std::vector<double> d(d_out.begin(), d_out.end());
  if (s.normalize) {
    const double length = length_of(v);
    double along = 0;
    for (std::size_t f = 0; f < d.size(); ++f) along += d[f] * v[f];
    for (std::size_t f = 0; f < d.size(); ++f) d[f] = (d[f] - v[f] * (along / (length * length))) / length;
  }
  const auto tokens = static_cast<double>(rows.rows);
  for (std::size_t t = 0; t < rows.rows; ++t)
    for (std::size_t f = 0; f < rows.cols; ++f) {
      double share = 0;
      switch (s.pooling) {
        case pooling::mean: share = 1 / tokens; break;
        case pooling::root_mean: share = 1 / std::sqrt(tokens); break;
        case pooling::first: share = t == 0 ? 1 : 0; break;
        case pooling::largest: share = t == at[f] ? 1 : 0; break;
      }
      d_rows(t, f) = static_cast<float>(d[f] * share);
    }
}

double cosine_distance(std::span<const float> a, std::span<const float> b) noexcept {
  double aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  if (aa == 0 || bb == 0) return aa == bb ? 0 : 1;
  const double la = std::sqrt(aa), lb = std::sqrt(bb);
  double sum = 0;  // of squares of the unit vectors' difference, which is twice the distance
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) / la - static_cast<double>(b[i]) / lb;
    sum += d * d;
  }
  return sum / 2;
}

void cosine_distance_gradient(std::span<const float> a, std::span<const float> b, std::span<float> d) noexcept {
  double aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    aa += x * x;
    bb += y * y;
    ab += x * y;
  }
  const double lengths = std::sqrt(aa) * std::sqrt(bb);
  for (std::size_t i = 0; i < a.size(); ++i)
    d[i] = lengths == 0 ? 0.f
                        : static_cast<float>(static_cast<double>(a[i]) * (ab / (aa * lengths)) -
                                             static_cast<double>(b[i]) / lengths);
}

}  // namespace engine
