#pragma once

#include "session.hpp"

#include <precis/allocate/z_tiers.hpp>
#include <precis/codec/standard_menu.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/plan.hpp>
#include <precis/pack.hpp>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace program {

/// Three values for the low, medium and high tier.
template<class Number>
using per_tier = std::array<Number, 3>;

/// Reads "4,6,8", or one number for all three. `option` names it in messages.
[[nodiscard]] per_tier<unsigned> read_bits(const std::string& text, std::string_view option);
[[nodiscard]] per_tier<double> read_sparsities(const std::string& text, std::string_view option);
/// "4, 6, 8" for bits, "0.3, 0.2, 0.1" for sparsities; one number when all three are equal.
[[nodiscard]] std::string to_text(const per_tier<unsigned>& bits);
[[nodiscard]] std::string to_text(const per_tier<double>& sparsities);

/// The allocator with these options in its tiers; codecs are "FAMILY BITS . GRANULARITY".
[[nodiscard]] precis::allocate::z_tiers make_tiers(const per_tier<unsigned>& bits, const per_tier<double>& prune,
                                                   const std::string& family, const std::string& granularity);

/// Refuses a table of another model, and says from now on that it is of this one.
void check_model(const session& s, std::string& model, const std::string& file);
/// A cost table from a file. Errors: one of another model, or with sizes that its formats do not take.
[[nodiscard]] precis::cost_table read_costs(const session& s, const std::string& file);

/// The same choice for every unit.
[[nodiscard]] precis::plan uniform_plan(const session& s, precis::unit_kind units, const std::string& codec,
                                        double sparsity);

/// The plan, matrix by matrix, and its exact size against what the matrices take in the model's file.
struct resolved_plan {
  std::vector<precis::matrix_choice> matrices;
  precis::size_report size;
};
/// Errors: those of precis::resolve, with `where` (a file) in front.
[[nodiscard]] resolved_plan resolve(const session& s, const precis::plan& p);

/// The plan in the words of llama.cpp's `llama-quantize --tensor-type-file`: one "NAME=TYPE" line a matrix, names as GGUF
/// has them (blk.3.attn_qkv), types the nearest that ggml has: the same bits a code, the next larger where there are none.
[[nodiscard]] std::string tensor_types(const session& s, const resolved_plan& p);

}  // namespace program
