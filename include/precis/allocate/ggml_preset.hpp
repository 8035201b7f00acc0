#pragma once

#include <precis/core/error.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace precis::allocate {

/// What a tensor does, as far as llama-quantize tells tensors apart.
enum class ggml_role {
  output,  ///< the head; the embedding, if it is the head too
  token_embedding,
  attention_q,
  attention_k,
  attention_v,
  attention_qkv,  ///< one matrix for all three
  attention_output,
  ffn_gate,
  ffn_up,
  ffn_down,
  other,  ///< any other matrix of a layer
  kept    ///< never quantized: norms, routers, positions
};

/// One tensor of a model.
struct ggml_tensor {
  ggml_role role = ggml_role::other;
  std::size_t columns = 0;  ///< weights per row
  std::size_t layer = 0;    ///< which layer it is in; counts for the feed-forward matrices
  bool experts = false;     ///< one matrix per expert
};

/// What llama-quantize knows of a model.
struct ggml_model {
  std::size_t layers = 0;
  std::size_t heads_per_key = 1;  ///< query heads that share a key head
  std::size_t experts = 0;
};

/// The mixtures of llama-quantize by name ("Q4_K_M"): which block type each tensor gets.
///
/// Shapes    one result per tensor: the name of a codec ("q4_k", "float16"), empty for tensors that keep their type.
/// Errors    an unknown preset (the message lists all); a preset that needs the statistics of an importance matrix
///           without them; rows that no type of the preset fits.
/// Cost      linear in the number of tensors.
/// Source    llama.cpp's llama-quantize, described in docs/methods/ggml.md.
struct ggml_preset {
  std::string_view name = "Q4_K_M";
  bool importance = false;  ///< whether an importance matrix is used, which changes some choices

  /// All presets, with the type that most tensors get.
  struct mixture {
    std::string_view name, base;
  };
  static constexpr mixture all[] = {
      {"Q4_0", "q4_0"},     {"Q4_1", "q4_1"},       {"Q5_0", "q5_0"},       {"Q5_1", "q5_1"},     {"Q8_0", "q8_0"},
      {"Q2_K", "q2_k"},     {"Q2_K_S", "q2_k"},     {"Q3_K_S", "q3_k"},     {"Q3_K_M", "q3_k"},   {"Q3_K_L", "q3_k"},
      {"Q4_K_S", "q4_k"},   {"Q4_K_M", "q4_k"},     {"Q5_K_S", "q5_k"},     {"Q5_K_M", "q5_k"},   {"Q6_K", "q6_k"},
      {"IQ1_S", "iq1_s"},   {"IQ1_M", "iq1_m"},     {"IQ2_XXS", "iq2_xxs"}, {"IQ2_XS", "iq2_xs"}, {"IQ2_S", "iq2_xs"},
      {"IQ2_M", "iq2_s"},   {"IQ3_XXS", "iq3_xxs"}, {"IQ3_XS", "iq3_s"},    {"IQ3_S", "iq3_s"},   {"IQ3_M", "iq3_s"},
      {"IQ4_NL", "iq4_nl"}, {"IQ4_XS", "iq4_xs"},   {"TQ1_0", "tq1_0"},     {"TQ2_0", "tq2_0"},   {"Q1_0", "q1_0"},
      {"Q2_0", "q2_0"},     {"MXFP4_MOE", "q8_0"}};

  /// Whether llama-quantize refuses the preset without an importance matrix.
  [[nodiscard]] constexpr bool needs_importance() const noexcept {
    return is("Q2_K_S") || low_bits() || is("IQ3_XXS") || is("IQ3_XS");
  }

  template<class = void>
  [[nodiscard]] std::vector<std::string> operator()(std::span<const ggml_tensor> tensors,
                                                    const ggml_model& model) const {
    check();
    counts seen;
    for (const ggml_tensor& t : tensors) seen.all_values += is_value(t.role) ? 1 : 0;
    std::vector<std::string> types;
    for (const ggml_tensor& t : tensors) {
      if (t.role == ggml_role::kept) {
        types.emplace_back();
        continue;
      }
      const std::string_view wanted = type_of(t, model, seen);
      if (is_value(t.role)) ++seen.values;
      types.emplace_back(fitting(wanted, t.columns));
      if (types.back().empty())
        refuse(
            {.what = "rows of " + std::to_string(t.columns) + " weights",
             .where = "preset " + std::string(name),
             .expected = "a multiple of the block of " + std::string(wanted) + ", for which there is no substitute"});
    }
    return types;
  }

  /// The type that replaces `wanted` in rows of this length, or empty.
  [[nodiscard]] static constexpr std::string_view fitting(std::string_view wanted, std::size_t columns) noexcept {
    if (columns % block_of(wanted) == 0) return wanted;
    if (wanted == "q1_0") return {};
    const std::string_view other = wanted == "q4_k"   ? "q5_0"
                                   : wanted == "q5_k" ? "q5_1"
                                   : wanted == "q6_k" ? "q8_0"
                                   : wanted == "q2_k" || wanted == "q3_k" || wanted[0] == 't' || wanted == "q2_0"
                                       ? "q4_0"
                                       : "iq4_nl";
    return columns % 32 == 0 ? other : "float16";
  }

 private:
  struct counts {
    std::size_t values = 0, all_values = 0;  // matrices with values of attention, so far and in all
  };

  [[nodiscard]] constexpr bool is(std::string_view other) const noexcept { return name == other; }
  template<class... Names>
  [[nodiscard]] constexpr bool is_any(Names... names) const noexcept {
    return (is(names) || ...);
  }
  [[nodiscard]] constexpr bool low_bits() const noexcept {
    return name.starts_with("IQ1_") || name.starts_with("IQ2_");
  }
  [[nodiscard]] static constexpr bool is_value(ggml_role r) noexcept {
    return r == ggml_role::attention_v || r == ggml_role::attention_qkv;
  }

  [[nodiscard]] static constexpr std::size_t block_of(std::string_view type) noexcept {
    if (type == "q4_0" || type == "q4_1" || type == "q5_0" || type == "q5_1" || type == "q8_0" || type == "iq4_nl" ||
        type == "mxfp4")
      return 32;
    return type == "q2_0" ? 64 : type == "q1_0" ? 128 : 256;
  }
  [[nodiscard]] constexpr std::string_view base() const noexcept {
    for (const mixture& m : all)
      if (is(m.name)) return m.base;
    return {};
  }

  /// The first eighth, the last eighth, and every third between.
  [[nodiscard]] static constexpr bool more_bits(std::size_t i, std::size_t n) noexcept {
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
  }

  [[nodiscard]] constexpr std::string_view type_of(const ggml_tensor& t, const ggml_model& m,
                                                   const counts& seen) const noexcept {
    using enum ggml_role;
    if (t.role == output) {
      if (base() == "q8_0" || t.columns % block_of(base()) != 0) return "q8_0";
      return low_bits() || is("IQ3_XXS") ? "q5_k" : "q6_k";
    }
    if (is("MXFP4_MOE")) return t.experts ? "mxfp4" : "q8_0";
    if (t.role == token_embedding) {
      if (is_any("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS")) return "q2_k";
      if (is_any("IQ2_S", "IQ2_M", "IQ3_XXS")) return "iq3_s";
      return is_any("TQ1_0", "TQ2_0", "Q2_0") ? "q4_k" : base();
    }
    const bool eight = m.experts == 8, shared = m.heads_per_key >= 4;
    if (low_bits()) return with_low_bits(t, m);
    switch (t.role) {
      case attention_v:
      case attention_qkv: {
        if (eight) return "q8_0";
        const std::string_view type = of_values(seen.values, seen.all_values, shared);
        return m.layers == 80 && m.heads_per_key > 1 && (type == "q3_k" || type == "q4_k") ? "q5_k" : type;
      }
      case attention_k:
        if (eight) return "q8_0";
        [[fallthrough]];
      case attention_q: return is("IQ3_XS") ? "iq3_xxs" : is("IQ3_XXS") ? "iq2_s" : base();
      case attention_output:
        if (eight)
          return is_any("Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M",
                        "IQ4_XS")
                     ? "q5_k"
                     : base();
        if (is("Q2_K")) return "q3_k";
        if (is("IQ3_XXS")) return "iq3_s";
        return is_any("Q3_K_M", "IQ3_M") ? "q4_k" : is("Q3_K_L") ? "q5_k" : base();
      case ffn_down: return of_down(t.layer, m);
      case ffn_gate:
      case ffn_up: return is("IQ3_XS") && t.layer >= m.layers / 8 && t.layer < 7 * m.layers / 8 ? "iq3_xxs" : base();
      default: return base();
    }
  }
  /// IQ1 and IQ2.
  [[nodiscard]] constexpr std::string_view with_low_bits(const ggml_tensor& t, const ggml_model& m) const noexcept {
    using enum ggml_role;
    const bool eight = m.experts == 8, small = is_any("IQ2_S", "IQ2_M");
    if (is_value(t.role)) return m.heads_per_key >= 4 || m.experts >= 4 ? "q4_k" : small ? "iq3_s" : "q2_k";
    if (t.role == attention_k && eight) return "q4_k";
    if (t.role == ffn_down && t.layer < m.layers / 8) return small ? "iq3_s" : "q2_k";
    if (t.role == attention_output)
      return eight ? "q5_k" : name.starts_with("IQ1_") ? "iq2_xxs" : small ? "iq3_s" : base();
    return base();
  }
  [[nodiscard]] constexpr std::string_view of_values(std::size_t i, std::size_t n, bool shared) const noexcept {
    if (is("Q2_K")) return shared ? "q4_k" : "q3_k";
    if (is("Q2_K_S") && shared) return "q4_k";
    if (is("IQ3_XXS")) return shared ? "q4_k" : importance ? "iq3_xxs" : "iq3_s";
    if (is_any("IQ3_XS", "IQ3_S") && shared) return "q4_k";
    if (is("IQ3_M")) return "q4_k";
    if (is("Q3_K_M")) return i < 2 ? "q5_k" : "q4_k";
    if (is("Q3_K_L")) return "q5_k";
    if (is_any("IQ4_NL", "IQ4_XS") && shared) return "q5_k";
    if (is_any("Q4_K_M", "Q5_K_M") && more_bits(i, n)) return "q6_k";
    return is("Q4_K_S") && i < 4 ? "q5_k" : base();
  }
  [[nodiscard]] constexpr std::string_view of_down(std::size_t layer, const ggml_model& m) const noexcept {
    const bool first = layer < m.layers / 8;
    if (is("Q2_K")) return "q3_k";
    if (is("Q2_K_S") && first) return "q4_k";
    if (is("IQ3_XXS") && !importance) return first ? "q4_k" : "q3_k";
    if (is("Q3_K_M")) return layer < m.layers / 16 ? "q5_k" : "q4_k";
    if (is("IQ3_M") && (first || (m.experts == 8 && more_bits(layer, m.layers)))) return "q4_k";
    if (is("Q3_K_L")) return "q5_k";
    if (is_any("Q4_K_M", "Q5_K_M") && more_bits(layer, m.layers)) return "q6_k";
    if (is_any("IQ4_NL", "IQ4_XS") && first && !importance) return "q5_k";
    if (is("Q4_K_S") && first) return "q5_k";
    if (first && importance && is_any("Q4_0", "Q5_0")) return is("Q4_0") ? "q4_1" : "q5_1";
    return base();
  }

  template<class = void>
  void check() const {
    std::string known;
    for (const mixture& m : all) known += (known.empty() ? "" : ", ") + std::string(m.name);
    if (base().empty())
      refuse({.what = "no preset called '" + std::string(name) + "'",
              .where = "allocate::ggml_preset",
              .expected = known});
    if (needs_importance() && !importance)
      refuse({.what = "no importance matrix",
              .where = "preset " + std::string(name),
              .expected = "the statistics of one, which llama-quantize demands for this preset"});
  }
};

}  // namespace precis::allocate
