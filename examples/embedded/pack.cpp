// Packs a llama2.c checkpoint according to a plan, into a header of constants:
//
//     pack CHECKPOINT.bin PLAN CONTEXT > model.hpp       for at most CONTEXT tokens
//     pack random CHECKPOINT.bin                         writes a checkpoint of stories260K's shape with random weights

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/error.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/random.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/prepared_vector.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using precis::refuse;

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse({.what = "the file cannot be opened", .where = path, .expected = "a readable file"});
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The header of a llama2.c checkpoint, version 0: seven integers, followed by floats.
struct header {
  std::int32_t width, hidden, layers, heads, kv_heads, vocabulary, context;

  [[nodiscard]] std::size_t head_size() const { return static_cast<std::size_t>(width / heads); }
};

/// The floats of a checkpoint, read matrix by matrix.
class checkpoint {
 public:
  explicit checkpoint(const std::string& path) : path_(path), text_(file_text(path)) {
    const auto need = [&](bool well, const char* what) {
      if (!well)
        refuse({.what = what, .where = path_, .expected = "a llama2.c checkpoint of version 0, with a tied head"});
    };
    need(text_.size() > sizeof h, "it is too short");
    std::memcpy(&h, text_.data(), sizeof h);
    for (const std::int32_t n : {h.width, h.hidden, h.layers, h.heads, h.kv_heads, h.vocabulary, h.context})
      need(n > 0 && n <= 1 << 20, "an extent that no such model has");
    need(h.width % h.heads == 0 && h.head_size() % 2 == 0 && h.heads % h.kv_heads == 0,
         "heads that do not divide the width");
    at_ = sizeof h;
  }

  [[nodiscard]] std::vector<float> next(std::size_t count) {
    if (count > (text_.size() - at_) / sizeof(float))
      refuse({.what = "the checkpoint is too short", .where = path_, .expected = "all weights"});
    std::vector<float> values(count);
    std::memcpy(values.data(), text_.data() + at_, count * sizeof(float));
    at_ += count * sizeof(float);
    return values;
  }

  header h{};

 private:
  std::string path_, text_;
  std::size_t at_ = 0;
};

/// The C++ name of a codec.
std::string identifier(std::string name) {
  std::ranges::replace(name, '.', '_');
  return name;
}

void print_floats(const std::string& name, std::span<const float> values) {
  std::printf("  static constexpr float %s[] = {", name.c_str());
  for (std::size_t i = 0; i < values.size(); ++i)
    std::printf("%s%af,", i % 8 == 0 ? "\n    " : " ", static_cast<double>(values[i]));
  std::printf("};\n");
}

/// Prints matrices and collects their formats.
class writer {
 public:
  explicit writer(const precis::plan& plan) : plan_(plan) {
    for (const precis::choice& c : plan.choices) {
      if (std::ranges::find(names_, c.codec) != names_.end()) continue;
      const auto f = precis::codec::parse_grid_format(c.codec);
      if (!f || c.rank != 0 || c.sparsity != 0)
        refuse({.what = "the format of " + c.unit,
                .where = "plan",
                .expected = "an integer or small float format without rank and sparsity"});
      names_.push_back(c.codec);
      constexpr std::array rules{"affine", "symmetric", "symmetric_full", "min_anchored", "min_anchored_floor",
                                 "e4m3",   "e5m2",      "e2m1",           "log2",         "log_sqrt2"};
      std::printf(
          "  static constexpr format %s{format_rule::%s, %u, static_cast<std::size_t>(%lld), format_scales::%s};\n",
          identifier(c.codec).c_str(), rules[static_cast<std::size_t>(f->rule)], f->code_bits,
          static_cast<long long>(f->group), f->scales == precis::codec::scale_type::float32 ? "float32" : "float16");
    }
  }

  /// Prints the bytes of a matrix and returns it as an expression.
  [[nodiscard]] std::string matrix(const std::string& unit, std::span<const float> values, std::size_t out,
                                   std::size_t in) {
    const precis::choice* const chosen = plan_.find(unit);
    if (chosen == nullptr)
      refuse({.what = "the plan has no line for " + unit, .where = "plan", .expected = "one line per matrix"});
    ++written_;
    const auto format = *precis::codec::parse_grid_format(chosen->codec);
    if (precis::kernel::segment_of(format, in) == 0)
      refuse(
          {.what = chosen->codec + " for " + unit, .where = "plan", .expected = "a format that the kernels multiply"});
    std::vector<std::byte> packed(format.layout_of(out, in).bytes);
    precis::codec::encode(format, {values.data(), out, in, static_cast<std::ptrdiff_t>(in), 1}, packed);
    const std::string name = identifier(unit);
    std::printf("  alignas(64) static constexpr auto %s = embedded::bytes(", name.c_str());
    for (std::size_t i = 0; i < packed.size(); ++i)
      std::printf("%s\\%03o", i % 28 == 0 ? (i == 0 ? "\n    \"" : "\"\n    \"") : "",
                  static_cast<unsigned>(packed[i]));
    std::printf("\");\n");
    return "{" + identifier(chosen->codec) + ", " + name + ".data(), " + std::to_string(out) + ", " +
           std::to_string(in) + "}";
  }

  void finish() const {
    if (written_ != plan_.choices.size())
      refuse({.what = "the plan lists units that the model does not have",
              .where = "plan",
              .expected = "the matrices of the model and tok_embeddings"});
  }

  [[nodiscard]] std::string formats() const {
    std::string all;
    for (const std::string& n : names_) all += (all.empty() ? "" : ", ") + identifier(n);
    return all;
  }

 private:
  const precis::plan& plan_;
  std::vector<std::string> names_;
  std::size_t written_ = 0;
};

void write_header(const std::string& checkpoint_path, const std::string& plan_path, std::size_t context) {
  checkpoint file(checkpoint_path);
  const header& h = file.h;
  const precis::plan plan = precis::parse_plan(file_text(plan_path), plan_path);
  if (context == 0 || context > static_cast<std::size_t>(h.context))
    refuse({.what = "a context of " + std::to_string(context) + " tokens",
            .where = checkpoint_path,
            .expected = "1 to " + std::to_string(h.context)});
  const auto width = static_cast<std::size_t>(h.width), hidden = static_cast<std::size_t>(h.hidden);
  const auto layers = static_cast<std::size_t>(h.layers), vocabulary = static_cast<std::size_t>(h.vocabulary);
  const std::size_t head_size = h.head_size(), kv_width = head_size * static_cast<std::size_t>(h.kv_heads);

  std::printf("// Written by examples/embedded/pack.cpp.\n\n#pragma once\n\n#include \"llama.hpp\"\n\n");
  std::printf(
      "struct model {\n  using format = precis::kernel::grid_format;\n  using format_rule = "
      "precis::kernel::grid_rule;\n"
      "  using format_scales = precis::kernel::scale_type;\n\n");
  std::printf("  static constexpr embedded::llama_shape shape{%zu, %zu, %zu, %zu, %zu, %zu, %zu};\n", width, hidden,
              layers, static_cast<std::size_t>(h.heads), static_cast<std::size_t>(h.kv_heads), vocabulary, context);

  writer out(plan);
  const std::string embedding = out.matrix("tok_embeddings", file.next(vocabulary * width), vocabulary, width);
  // The file stores each kind of matrix for all layers contiguously.
  struct part {
    const char* name;
    std::size_t out, in;
  };
  const part norm{nullptr, 1, width};
  const part parts[] = {norm,
                        {"attention.wq", width, width},
                        {"attention.wk", kv_width, width},
                        {"attention.wv", kv_width, width},
                        {"attention.wo", width, width},
                        norm,
                        {"feed_forward.w1", hidden, width},
                        {"feed_forward.w2", width, hidden},
                        {"feed_forward.w3", hidden, width}};
  std::vector<std::array<std::string, std::size(parts)>> expressions(layers);
  for (std::size_t p = 0; p < std::size(parts); ++p)
    for (std::size_t l = 0; l < layers; ++l) {
      const std::string layer = "layers." + std::to_string(l) + ".";
      const std::vector<float> values = file.next(parts[p].out * parts[p].in);
      std::string& expression = expressions[l][p];
      if (parts[p].name != nullptr) {
        expression = out.matrix(layer + parts[p].name, values, parts[p].out, parts[p].in);
      } else {
        expression = identifier(layer + (p == 0 ? "attention_norm" : "mlp_norm"));
        print_floats(expression, values);
      }
    }
  print_floats("final_norm", file.next(width));
  out.finish();

  std::printf("  static constexpr precis::kernel::packed_grid embedding%s;\n", embedding.c_str());
  std::printf("  static constexpr embedded::llama_layer layers[] = {");
  for (const auto& e : expressions)
    std::printf("\n    {%s, %s,\n     %s, %s, %s, %s,\n     %s, %s, %s},", e[0].c_str(), e[5].c_str(), e[1].c_str(),
                e[2].c_str(), e[3].c_str(), e[4].c_str(), e[6].c_str(), e[8].c_str(), e[7].c_str());
  std::printf("};\n\n  static constexpr float rotary[][%zu][2] = {\n", head_size / 2);
  for (std::size_t position = 0; position < context; ++position) {
    std::printf("    {");
    for (std::size_t i = 0; i < head_size; i += 2) {
      const double angle =
          static_cast<double>(position) * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(head_size));
      std::printf("{%af, %af},", static_cast<double>(static_cast<float>(std::cos(angle))),
                  static_cast<double>(static_cast<float>(std::sin(angle))));
    }
    std::printf("},\n");
  }
  std::printf(
      "  };\n\n  static void multiply(const precis::kernel::packed_grid& m, const precis::kernel::float_activations& "
      "x,\n"
      "                       std::span<float> y) noexcept {\n    precis::kernel::matvec<%s>(m, x, y);\n  }\n};\n",
      out.formats().c_str());
}

void write_random(const std::string& path) {
  constexpr header h{
      .width = 64, .hidden = 172, .layers = 5, .heads = 8, .kv_heads = 4, .vocabulary = 512, .context = 512};
  constexpr std::size_t width = 64, hidden = 172, layers = 5, kv_width = 32, vocabulary = 512;
  std::vector<float> values;
  const precis::random_stream random(1, precis::purpose("embedded"));
  const auto matrix = [&](std::size_t count, std::size_t in) {
    for (std::size_t i = 0; i < count; ++i)
      values.push_back(static_cast<float>(random.normal(values.size()) / std::sqrt(static_cast<double>(in))));
  };
  const auto ones = [&](std::size_t count) { values.insert(values.end(), count, 1.f); };
  matrix(vocabulary * width, width);
  ones(layers * width);
  for (const std::size_t rows : {width, kv_width, kv_width, width}) matrix(layers * rows * width, width);
  ones(layers * width);
  matrix(layers * hidden * width, width);
  matrix(layers * width * hidden, hidden);
  matrix(layers * hidden * width, width);
  ones(width);
  values.resize(values.size() +
                static_cast<std::size_t>(h.context) * (width / 8));  // tables of angles, which are not used
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&h), sizeof h);
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  if (!file.flush()) refuse({.what = "the file cannot be written", .where = path, .expected = "a writable path"});
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 2 && words[0] == "random") {
    write_random(words[1]);
  } else if (words.size() == 3) {
    std::size_t context = 0;
    if (!precis::text::read(words[2], context)) refuse({.what = words[2], .where = "CONTEXT", .expected = "a number"});
    write_header(words[0], words[1], context);
  } else {
    std::fputs("usage: pack CHECKPOINT.bin PLAN CONTEXT > model.hpp\n       pack random CHECKPOINT.bin\n", stderr);
    return 2;
  }
} catch (const std::exception& problem) {
  std::fprintf(stderr, "%s\n", problem.what());
  return 2;
}
