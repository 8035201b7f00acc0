#pragma once

#include "jobs/formats.hpp"

#include <precis/allocate/z_tiers.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/plan.hpp>
#include <precis/pack.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace engine {
class transformer;
}

namespace program {

struct model_outline;
struct session;

/// Three values for the low, medium and high tier.
template<class Number>
using per_tier = std::array<Number, 3>;

/// Reads "4,6,8", or one number for all three. `option` names it in messages.
[[nodiscard]] per_tier<unsigned> read_bits(const std::string& text, std::string_view option);
[[nodiscard]] per_tier<double> read_sparsities(const std::string& text, std::string_view option);
/// "4, 6, 8" for bits, "0.3, 0.2, 0.1" for sparsities; one number if all three are equal.
[[nodiscard]] std::string to_text(const per_tier<unsigned>& bits);
[[nodiscard]] std::string to_text(const per_tier<double>& sparsities);

/// The tier allocator with these options; codecs are named "FAMILY BITS . GRANULARITY".
[[nodiscard]] precis::allocate::z_tiers make_tiers(const per_tier<unsigned>& bits, const per_tier<double>& prune,
                                                   const std::string& family, const std::string& granularity);

/// Refuses a table that was made for another model, and sets `model` to this one's fingerprint.
void check_model(const model_outline& m, std::string& model, const std::string& file);
/// A cost table from a file. Errors: a table of another model, or with sizes other than the formats' exact ones.
[[nodiscard]] precis::cost_table read_costs(const model_outline& m, const std::string& file);

/// A plan with the same choice for every unit.
[[nodiscard]] precis::plan uniform_plan(const model_outline& m, precis::unit_kind units, const std::string& codec,
                                        double sparsity);

/// A plan, matrix by matrix, and its exact size relative to the matrices' size in the model's file.
struct resolved_plan {
  std::vector<precis::matrix_choice> matrices;
  precis::size_report size;
};
/// Errors: those of precis::resolve.
[[nodiscard]] resolved_plan resolve(const model_outline& m, const precis::plan& p);

/// precis::apply and precis::pack_matrix for the program's formats, compiled once.
void apply(engine::transformer& model, const precis::plan& p, code_fit fit);
void pack_matrix(precis::weight_view weights, const precis::matrix_choice& c, std::span<std::byte> packed, code_fit fit,
                 std::span<const float> importance = {});

struct llama_types {
  std::string lines;
  std::vector<std::string> notes;  ///< what the types do not keep of the plan, as sentences for the user
};
/// The plan in the format of llama.cpp's `llama-quantize --tensor-type-file`: one line "NAME=TYPE" per matrix, with the
/// names of GGUF (blk.3.attn_qkv) and the nearest type that ggml has: the one with the same number of bits per code, or
/// the next larger. For rows that are not whole blocks of it, the type that llama-quantize substitutes.
/// Errors: a family without names in GGUF.
[[nodiscard]] llama_types tensor_types(const session& s, const resolved_plan& p);

}  // namespace program
