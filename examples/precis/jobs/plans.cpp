#include "jobs/plans.hpp"

#include "jobs/formats.hpp"
#include "jobs/lists.hpp"
#include "jobs/session.hpp"

#include <engine/files/files.hpp>
#include <engine/files/gguf.hpp>
#include <engine/model_files/gguf_model.hpp>

#include <precis/allocate/ggml_preset.hpp>
#include <precis/core/error.hpp>
#include <precis/core/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

namespace program {

namespace {

template<class Number>
per_tier<Number> read_three(const std::string& text, std::string_view option, std::string_view expected) {
  per_tier<Number> out{};
  const std::vector<std::string> words = split_commas(text);
  std::size_t count = words.size() <= out.size() ? words.size() : 0;
  for (std::size_t i = 0; i < count; ++i)
    if (!precis::text::read(std::string_view(words[i]), out[i])) count = 0;
  if (count == 1) out[1] = out[2] = out[0];
  if (count != 1 && count != 3)
    precis::refuse({.what = "'" + text + "'", .where = std::string(option), .expected = std::string(expected)});
  return out;
}

}  // namespace

per_tier<unsigned> read_bits(const std::string& text, std::string_view option) {
  constexpr std::string_view expected =
      "bits for the low, medium and high tier, each 2 to 8, 16 or 24: 4,6,8 (or one number for all)";
  const per_tier<unsigned> bits = read_three<unsigned>(text, option, expected);
  for (const unsigned b : bits)
    if (!has_width(b))
      precis::refuse(
          {.what = fmt::format("{} bits", b), .where = std::string(option), .expected = std::string(expected)});
  return bits;
}

per_tier<double> read_sparsities(const std::string& text, std::string_view option) {
  constexpr std::string_view expected =
      "shares to prune in the low, medium and high tier, each from 0 to 1: 0.3,0.2,0.1 (or one for all)";
  const per_tier<double> shares = read_three<double>(text, option, expected);
  for (const double s : shares)
    if (s < 0 || s > 1)
      precis::refuse(
          {.what = fmt::format("a share of {}", s), .where = std::string(option), .expected = std::string(expected)});
  return shares;
}

std::string to_text(const per_tier<unsigned>& b) {
  return b[0] == b[1] && b[1] == b[2] ? fmt::format("{}", b[0]) : fmt::format("{}, {}, {}", b[0], b[1], b[2]);
}
std::string to_text(const per_tier<double>& s) {
  return s[0] == s[1] && s[1] == s[2] ? fmt::format("{}", s[0]) : fmt::format("{}, {}, {}", s[0], s[1], s[2]);
}

precis::allocate::z_tiers make_tiers(const per_tier<unsigned>& bits, const per_tier<double>& prune,
                                     const std::string& family, const std::string& granularity) {
  const auto tier = [&](std::size_t i) {
    return precis::allocate::tier_options{.codec = fmt::format("{}{}.{}", family, bits[i], granularity),
                                          .sparsity = prune[i]};
  };
  return {.low = tier(0), .medium = tier(1), .high = tier(2)};
}

void check_model(const model_outline& m, std::string& model, const std::string& file) {
  if (!model.empty() && model != m.fingerprint)
    precis::refuse({.what = "it was made for model " + model,
                    .where = file,
                    .expected = "a table of " + m.name + ", model " + m.fingerprint});
  model = m.fingerprint;
}

precis::cost_table read_costs(const model_outline& m, const std::string& file) {
  const engine::mapped_file mapped(file);
  precis::cost_table t = precis::parse_costs(mapped.text(), m.matrices, file);
  check_model(m, t.model, file);
  if (precis::exact_bytes<formats>(m.matrices, t.units, t.entries) != t.bytes)
    precis::refuse({.what = "sizes other than the formats' exact sizes",
                    .where = file,
                    .expected = "a table that `precis cost` wrote for this model"});
  return t;
}

precis::plan uniform_plan(const model_outline& m, precis::unit_kind units, const std::string& codec, double sparsity) {
  precis::plan p{.model = m.fingerprint, .units = units, .notes = {"the same for every unit"}, .choices = {}};
  for (const precis::unit& u : precis::group_units(m.matrices, units))
    p.choices.push_back({.unit = u.name, .codec = codec, .sparsity = sparsity});
  return p;
}

namespace {

std::string_view ggml_type(std::string_view codec) {
  using precis::kernel::code_kind;
  using precis::kernel::dense_type;
  (void)formats::index_of(codec);  // refuses a name that is not in the menu
  const precis::kernel::packed_format f = *precis::kernel::parse_format(codec);
  if (f.kept != precis::kernel::kept_weights::all)  // ggml has no sparse types: the type of the values
    return ggml_type(codec.substr(codec.find('.') + 1));
  if (f.codes == code_kind::ggml || f.codes == code_kind::block) return codec;
  if (f.codes == code_kind::dense)
    return f.dense == dense_type::bfloat16 ? "bfloat16" : f.dense == dense_type::float16 ? "float16" : "float32";
  if (f.codes == code_kind::codebook)
    return f.codebook.code_bits == 2 ? "q2_k" : f.codebook.code_bits == 3 ? "q3_k" : "q4_0";
  const bool offset = f.grid.rule == precis::codec::grid_rule::affine || f.grid.has_minimum();
  switch (f.grid.code_bits) {
    case 2: return "q2_k";
    case 3: return "q3_k";
    case 4: return offset ? "q4_1" : "q4_0";
    case 5: return offset ? "q5_1" : "q5_0";
    case 6: return "q6_k";
    case 7:
    case 8: return "q8_0";
    case 16: return "float16";
    default: return "float32";
  }
}

/// What llama-quantize stores rows of `in` weights in instead of `type`, if they are not whole blocks of it.
[[nodiscard]] std::string_view type_for_rows(std::string_view type, std::size_t in) {
  const bool is_float = type == "float32" || type == "float16" || type == "bfloat16";
  const std::string_view fitting = is_float ? type : precis::allocate::ggml_preset::fitting(type, in);
  if (fitting.empty())
    precis::refuse(
        {.what = "rows of " + std::to_string(in) + " weights, for which nothing replaces " + std::string(type),
         .where = "--tensor-types",
         .expected = "another format in the plan"});
  return fitting;
}
/// The name of a type in llama.cpp's files and options.
[[nodiscard]] std::string_view llama_name(std::string_view type) {
  return type == "float32" ? "f32" : type == "float16" ? "f16" : type == "bfloat16" ? "bf16" : type;
}

}  // namespace

llama_types tensor_types(const session& s, const resolved_plan& p) {
  llama_types out;
  std::map<std::string, std::size_t> replaced;
  std::map<std::string, std::string_view> written;  // experts, or query, key and value, may share a tensor
  std::size_t pruned = 0, bytes = 0;
  for (const precis::matrix_choice& c : p.matrices) {
    std::string name = engine::gguf_name(s.model.shape(), c.name);
    if (name.empty())
      precis::refuse({.what = "matrix " + c.name + " has no name in GGUF",
                      .where = "--tensor-types",
                      .expected = "a model of a family that llama.cpp's files can hold"});
    for (std::size_t at = 0; (at = name.find('.', at)) != std::string::npos; at += 2) name.insert(at, "\\");
    const std::string_view wanted = ggml_type(c.codec), type = type_for_rows(wanted, c.in);
    if (type != wanted)
      ++replaced[fmt::format("rows of {} are not whole blocks of {}: {}", c.in, wanted, llama_name(type))];
    if (c.sparsity > 0) ++pruned;
    bytes += engine::gguf_bytes(type, std::vector{c.out, c.in});
    const auto [at, fresh] = written.emplace(name, type);
    if (fresh) out.lines += fmt::format("{}={}\n", name, llama_name(type));
    if (at->second != type)
      precis::refuse(
          {.what = fmt::format("{} and {} in one tensor of llama.cpp", llama_name(at->second), llama_name(type)),
           .where = "--tensor-types, " + c.name,
           .expected = "one format for all matrices of " + name});
  }
  for (const auto& [what, count] : replaced) out.notes.push_back(fmt::format("{} matrices: {}", count, what));
  if (pruned > 0)
    out.notes.push_back(
        fmt::format("{} matrices: llama-quantize does not prune, so their sparsity is not kept", pruned));
  if (bytes != p.size.packed_bytes)
    out.notes.push_back(fmt::format("{} bytes in these types; the plan takes {}", bytes, p.size.packed_bytes));
  return out;
}

resolved_plan resolve(const model_outline& m, const precis::plan& p) {
  resolved_plan out{.matrices = precis::resolve<formats>(m.matrices, p, {.model = m.fingerprint}), .size = {}};
  out.size = precis::size_of(out.matrices);
  out.size.original_bytes = m.stored_bytes;
  return out;
}

void apply(engine::transformer& model, const precis::plan& p, code_fit fit) { precis::apply<formats>(model, p, fit); }

void pack_matrix(precis::weight_view weights, const precis::matrix_choice& c, std::span<std::byte> packed, code_fit fit,
                 std::span<const float> importance) {
  precis::pack_matrix<formats>(weights, c, packed, fit, importance);
}

}  // namespace program
