#pragma once

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/size.hpp>
#include <precis/core/unit.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/model/concepts.hpp>
#include <precis/prune/magnitude.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// From a plan to bytes: prune, then encode, matrix by matrix (methods F1).
namespace precis {

/// What `menu` offers, as `codec::standard` does too.
template<class M>
concept codec_menu = requires(std::size_t i, std::string_view name, weight_view weights, std::span<std::byte> packed,
                              std::span<const std::byte> stored, mutable_weight_view decoded) {
  { M::size } -> std::convertible_to<std::size_t>;
  { M::index_of(name) } -> std::same_as<std::size_t>;
  { M::bytes(i, i, i) } -> std::same_as<std::size_t>;
  { M::encode(i, weights, packed) } -> std::same_as<void>;
  { M::decode(i, stored, decoded) } -> std::same_as<void>;
};

namespace detail {

/// What a menu's entries say of themselves, beyond matrix_codec.
template<class Menu>
struct menu_facts {  // a menu of values, like codec::standard
  static std::optional<codec::grid_format> format(std::size_t entry) { return Menu::format(entry); }
  static bool keeps_zero(std::size_t entry) { return Menu::keeps_zero(entry); }
};
template<class... Codecs>
struct menu_facts<menu<Codecs...>> {
  template<class C>
  static constexpr std::optional<codec::grid_format> format_of() {
    if constexpr (requires {
                    { C::format } -> std::convertible_to<codec::grid_format>;
                  })
      return C::format;
    return std::nullopt;
  }
  template<class C>
  static constexpr bool zero_of() {  // a codec that does not say is taken not to
    if constexpr (requires {
                    { C::keeps_zero } -> std::convertible_to<bool>;
                  })
      return C::keeps_zero;
    return false;
  }
  static std::optional<codec::grid_format> format(std::size_t entry) {
    static constexpr std::array<std::optional<codec::grid_format>, sizeof...(Codecs)> all{format_of<Codecs>()...};
    return all[entry];
  }
  static bool keeps_zero(std::size_t entry) {
    static constexpr std::array<bool, sizeof...(Codecs)> all{zero_of<Codecs>()...};
    return all[entry];
  }
};

}  // namespace detail

struct pack_options {
  std::string model = {};  ///< the model's fingerprint; a plan made for another one is refused. Empty = not checked
  bool let_zeros_move = false;     ///< allow formats that do not keep zero (min_anchored) on pruned matrices
  std::size_t original_bits = 32;  ///< bits a weight of the original takes in its file, for the size report
};

/// What a plan says of one matrix, checked against model and menu.
struct matrix_choice {
  std::size_t matrix = 0;  ///< index into the model's matrices()
  std::string name;        ///< of the matrix
  std::string unit;        ///< the unit it belongs to
  std::string codec;       ///< menu entry, by name
  std::size_t entry = 0;   ///< menu entry, by index
  double sparsity = 0;
  std::size_t out = 0;
  std::size_t in = 0;
  std::size_t bytes = 0;  ///< packed
  bool operator==(const matrix_choice&) const = default;
};

/// A plan, matrix by matrix, in the model's order; everything that can be wrong with it is refused here, before work.
///
/// Errors   a plan for another model; a unit that the model does not have, or that the plan leaves out; a codec that is
///          not in the menu; a rank (not supported by any codec yet); a format that does not keep zero on a pruned unit.
/// Cost     O(matrices x units); no weight is read.
template<codec_menu Menu>
[[nodiscard]] std::vector<matrix_choice> resolve(std::span<const matrix_info> matrices, const plan& p,
                                                 const pack_options& options = {}) {
  const auto bad = [](std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = "plan", .expected = std::move(expected)});
  };
  check(p);
  if (!p.model.empty() && !options.model.empty() && p.model != options.model)
    bad("it was made for model " + p.model, "a plan for this model, " + options.model);

  const std::vector<unit> units = group_units(matrices, p.units);
  for (const choice& c : p.choices)
    if (std::ranges::find(units, c.unit, &unit::name) == units.end())
      bad("unit " + c.unit + " is not in this model",
          units.empty() ? "a model with matrices" : "units like " + units.front().name);

  std::vector<matrix_choice> result(matrices.size());
  for (const unit& u : units) {
    const choice* c = p.find(u.name);
    if (c == nullptr) bad("unit " + u.name + " has no choice", "one line for every unit of the model");
    const std::size_t entry = Menu::index_of(c->codec);
    if (c->rank != 0)
      bad("unit " + u.name + " asks for rank " + std::to_string(c->rank), "no rank: there are no low-rank formats yet");
    if (c->sparsity > 0 && !options.let_zeros_move && !detail::menu_facts<Menu>::keeps_zero(entry))
      bad("unit " + u.name + " is pruned, but " + c->codec +
              " does not keep zeros: they would come back as something else",
          "a format that keeps zero (affine, symmetric, float16), no pruning, or let_zeros_move");
    for (const std::size_t m : u.matrices) {
      const matrix_info& info = matrices[m];
      result[m] = {.matrix = m,
                   .name = info.name,
                   .unit = u.name,
                   .codec = c->codec,
                   .entry = entry,
                   .sparsity = c->sparsity,
                   .out = info.out,
                   .in = info.in,
                   .bytes = Menu::bytes(entry, info.out, info.in)};
    }
  }
  return result;
}

/// Exact sizes of a resolved plan, before anything is encoded.
[[nodiscard]] inline size_report size_of(std::span<const matrix_choice> choices,
                                         std::size_t original_bits = 32) noexcept {
  size_report sum;
  for (const matrix_choice& c : choices)
    sum += {.weights = c.out * c.in, .original_bytes = (c.out * c.in * original_bits + 7) / 8, .packed_bytes = c.bytes};
  return sum;
}

/// Prunes a copy of one matrix and encodes it. Requires packed.size() == choice.bytes.
///
/// The fit chooses the codes of integer formats; other codecs encode themselves.
/// Errors   weights that are not finite, by matrix, row and column; whatever the codec cannot hold.
template<codec_menu Menu, class Fit = fit::nearest>
void pack_matrix(weight_view weights, const matrix_choice& choice, std::span<std::byte> packed, const Fit& fit = {}) {
  std::vector<float> pruned;
  if (choice.sparsity > 0) {
    pruned.resize(weights.size());
    const mutable_weight_view copy(pruned, weights.rows, weights.cols);
    codec::copy_values(weights, copy);
    codec::check_finite(copy, choice.name);
    prune::magnitude{.sparsity = choice.sparsity}(copy);
    weights = copy;
  }
  const auto encode = [&] {
    if (const auto format = detail::menu_facts<Menu>::format(choice.entry))
      fit(*format, weights, packed);
    else
      Menu::encode(choice.entry, weights, packed);
  };
#if defined(__cpp_exceptions)
  try {
    encode();
  } catch (const error& e) {  // a codec knows its format, not whose weights they are
    problem named = e.reason();
    named.where = choice.name + ": " + named.where;
    refuse(std::move(named));
  }
#else
  encode();
#endif
}

/// One matrix in the bytes an engine runs.
struct packed_matrix {
  matrix_choice choice;
  std::vector<std::byte> bytes;
};

/// A packed model: a plain value.
struct packed_model {
  std::string model;                    ///< fingerprint of the original; empty = not said
  std::vector<packed_matrix> matrices;  ///< in the model's order
  size_report size;
};

/// Packs every matrix as the plan says. The model is not changed.
///
/// Errors   `resolve` and `pack_matrix`.
/// Cost     memory: the packed bytes, and one pruned copy at a time.
template<codec_menu Menu, weighted_model Model, class Fit = fit::nearest>
[[nodiscard]] packed_model pack(const Model& model, const plan& p, const Fit& fit = {},
                                const pack_options& options = {}) {
  const std::span<const matrix_info> matrices = model.matrices();
  packed_model result{.model = options.model.empty() ? p.model : options.model, .matrices = {}, .size = {}};
  std::vector<matrix_choice> choices = resolve<Menu>(matrices, p, options);
  result.size = size_of(choices, options.original_bits);
  for (matrix_choice& c : choices) {
    std::vector<std::byte> bytes(c.bytes);
    pack_matrix<Menu>(model.weights(c.matrix), c, bytes, fit);
    result.matrices.push_back({.choice = std::move(c), .bytes = std::move(bytes)});
  }
  return result;
}

/// What `apply` did.
struct applied {
  std::vector<matrix_choice> matrices;
  size_report size;
  std::size_t removed = 0;  ///< weights pruned
};

/// Replaces every matrix by what it decodes to after pruning and packing, so that the compressed model can be evaluated.
/// Guard the weights (weight_guard) to get the original back.
///
/// @post    the weights are those of `pack`, decoded.
/// Errors   `resolve`, before anything is changed; `pack_matrix`, with the matrices before that one replaced already.
/// Cost     memory: one matrix, packed and pruned, at a time.
template<codec_menu Menu, mutable_model Model, class Fit = fit::nearest>
applied apply(Model& model, const plan& p, const Fit& fit = {}, const pack_options& options = {}) {
  applied result{.matrices = resolve<Menu>(model.matrices(), p, options), .size = {}, .removed = 0};
  result.size = size_of(result.matrices, options.original_bits);
  std::vector<std::byte> packed;
  for (const matrix_choice& c : result.matrices) {
    const mutable_weight_view w = model.weights(c.matrix);
    packed.resize(c.bytes);
    pack_matrix<Menu>(w, c, packed, fit);
    Menu::decode(c.entry, packed, w);
    result.removed += exact_count(c.sparsity, w.size());
  }
  return result;
}

}  // namespace precis
