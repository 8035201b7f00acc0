#pragma once

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/codec/packed_format_of.hpp>
#include <precis/codec/weight_checks.hpp>
#include <precis/core/aligned_bytes.hpp>
#include <precis/core/as_span.hpp>
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
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// From a plan to bytes: prunes and encodes matrix by matrix.
namespace precis {

namespace detail {

template<class M>
inline constexpr bool is_menu = false;
template<class... Codecs>
inline constexpr bool is_menu<menu<Codecs...>> = true;

template<class M>
concept lists_entries = requires(std::string_view name) {
  { M::size } -> std::convertible_to<std::size_t>;
  { M::index_of(name) } -> std::same_as<std::size_t>;
};
template<class M>
concept sizes_entries = requires(std::size_t i) {
  { M::bytes(i, i, i) } -> std::same_as<std::size_t>;
};
template<class M>
concept codes_entries = requires(std::size_t i, weight_view weights, std::span<std::byte> packed,
                                 std::span<const std::byte> stored, mutable_weight_view decoded) {
  { M::encode(i, weights, packed) } -> std::same_as<void>;
  { M::decode(i, stored, decoded) } -> std::same_as<void>;
};
template<class M>
concept knows_formats = is_menu<M> || requires(std::size_t i) {
  { M::format(i) } -> std::convertible_to<std::optional<codec::grid_format>>;
};
template<class M>
concept knows_zeros = is_menu<M> || requires(std::size_t i) {
  { M::keeps_zero(i) } -> std::convertible_to<bool>;
};

}  // namespace detail

/// The static members of `menu` that packing needs, and format(entry) and keeps_zero(entry), which a `menu` takes from
/// its codecs. `codec::standard` has them too. Cost tables also need names().
template<class M>
concept codec_menu = detail::lists_entries<M> && detail::sizes_entries<M> && detail::codes_entries<M> &&
                     detail::knows_formats<M> && detail::knows_zeros<M>;

namespace detail {

/// Names the member that keeps a type from being a codec_menu.
template<class M>
constexpr void explain_menu() {
  static_assert(
      lists_entries<M>,
      "precis: packing needs a codec_menu, such as precis::menu<...>: this one has no static std::size_t size "
      "or no static std::size_t index_of(std::string_view). See docs/models.md#codecs");
  static_assert(sizes_entries<M>,
                "precis: packing needs a codec_menu, such as precis::menu<...>: this one has no static std::size_t "
                "bytes(entry, out, in). See docs/models.md#codecs");
  static_assert(codes_entries<M>,
                "precis: packing needs a codec_menu, such as precis::menu<...>: this one has no static void "
                "encode(entry, weights, packed) or decode(entry, packed, weights). See docs/models.md#codecs");
  static_assert(knows_formats<M>,
                "precis: packing needs a codec_menu, such as precis::menu<...>: this one has no static "
                "std::optional<codec::grid_format> format(entry); nullopt is right for codecs that no fit knows. See "
                "docs/models.md#codecs");
  static_assert(knows_zeros<M>,
                "precis: packing needs a codec_menu, such as precis::menu<...>: this one has no static bool "
                "keeps_zero(entry). See docs/models.md#codecs");
}

}  // namespace detail

/// Optional properties of menu entries: the format of integer and small-float entries, whether an entry keeps zero, and
/// the format by which an entry is multiplied. A codec type states them as static members `format` and `keeps_zero`. This primary template is for menus with
/// functions of these names, like codec::standard.
template<class Menu>
struct menu_facts {
  static constexpr codec::format_set formats() { return codec::every_format; }  ///< those that `format` may return
  static std::optional<codec::grid_format> format(std::size_t entry) { return Menu::format(entry); }
  static bool keeps_zero(std::size_t entry) { return Menu::keeps_zero(entry); }
  static std::optional<kernel::packed_format> packed_format(std::size_t entry) {
    if constexpr (requires { Menu::packed_format(entry); })
      return Menu::packed_format(entry);
    else
      return std::nullopt;
  }
  /// Encodes with a codec that has no integer or small-float format, and with the importances if it takes them.
  static void encode_without_fit(std::size_t entry, weight_view weights, std::span<const float> importance,
                                 std::span<std::byte> packed) {
    if constexpr (requires { Menu::encode(entry, weights, importance, packed); })
      if (!importance.empty()) return Menu::encode(entry, weights, importance, packed);
    Menu::encode(entry, weights, packed);
  }
};
template<class... Codecs>
struct menu_facts<menu<Codecs...>> {
  static constexpr codec::format_set formats() {
    codec::format_set all{.widths = 0, .floats = false, .minima = false};
    for (const auto& f : {std::optional<codec::grid_format>{}, format_of<Codecs>()...})
      if (f) all.add(*f);
    return all;
  }
  static std::optional<codec::grid_format> format(std::size_t entry) {
    static constexpr std::array<std::optional<codec::grid_format>, sizeof...(Codecs)> all{format_of<Codecs>()...};
    return all[entry];
  }
  static bool keeps_zero(std::size_t entry) {
    static constexpr std::array<bool, sizeof...(Codecs)> all{zero_of<Codecs>()...};
    return all[entry];
  }
  static std::optional<kernel::packed_format> packed_format(std::size_t entry) {
    static constexpr std::array<std::optional<kernel::packed_format>, sizeof...(Codecs)> all{
        codec::packed_format_of<Codecs>()...};
    return all[entry];
  }
  static void encode_without_fit(std::size_t entry, weight_view weights, std::span<const float> importance,
                                 std::span<std::byte> packed) {
    std::size_t at = 0;
    ((at++ == entry ? encode_unless_fitted<Codecs>(weights, importance, packed) : void()), ...);
  }

 private:
  template<class C>
  static void encode_unless_fitted([[maybe_unused]] weight_view weights,
                                   [[maybe_unused]] std::span<const float> importance,
                                   [[maybe_unused]] std::span<std::byte> packed) {
    if constexpr (!format_of<C>()) {
      if constexpr (requires { C::encode(weights, importance, packed); })
        if (!importance.empty()) return C::encode(weights, importance, packed);
      C::encode(weights, packed);
    }
  }
  template<class C>
  static constexpr std::optional<codec::grid_format> format_of() {
    if constexpr (requires {
                    { C::format } -> std::convertible_to<codec::grid_format>;
                  })
      return C::format;
    return std::nullopt;
  }
  template<class C>
  static constexpr bool zero_of() {  // without the member, a codec counts as one that does not keep zero
    if constexpr (requires {
                    { C::keeps_zero } -> std::convertible_to<bool>;
                  })
      return C::keeps_zero;
    return false;
  }
};

struct pack_options {
  std::string model{};          ///< the model's fingerprint: a plan for a different one is refused. Empty = not checked
  bool let_zeros_move = false;  ///< allow codecs that do not keep zero (min_anchored) on pruned matrices
  std::size_t original_bits = 32;  ///< bits per weight of the original file, for the size report
  std::string where = "plan";      ///< names the plan in messages: its file
};

/// A plan's choice for one matrix, checked against model and menu.
struct matrix_choice {
  std::size_t matrix = 0;  ///< index into the model's matrices()
  std::string name{};      ///< of the matrix
  std::string unit{};      ///< name of the unit that contains it
  std::string codec{};     ///< name of the menu entry
  std::size_t entry = 0;   ///< index of the menu entry
  double sparsity = 0;
  std::size_t out = 0;
  std::size_t in = 0;
  std::size_t bytes = 0;  ///< packed size
  bool operator==(const matrix_choice&) const = default;
};

/// Expands a plan into one choice per matrix, in the model's order. Refuses every invalid plan here, before any work
/// starts.
///
/// Errors   a plan for a different model; a unit that is not in the model, or is missing from the plan; a codec that is
///          not in the menu; a choice with rank=N (a low-rank codec is a menu entry that contains its rank:
///          codec::low_rank); a codec that does not keep zero on a pruned unit.
/// Cost     O(matrices x units); no weight is read.
template<codec_menu Menu>
[[nodiscard]] std::vector<matrix_choice> resolve(std::span<const matrix_info> matrices, const plan& p,
                                                 const pack_options& options = {}) {
  const auto bad = [&](std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = options.where, .expected = std::move(expected)});
  };
  check(p);
  if (!p.model.empty() && !options.model.empty() && p.model != options.model)
    bad("it was made for model " + shown(p.model), "a plan for this model, " + options.model);

  const std::vector<unit> units = group_units(matrices, p.units);
  for (const choice& c : p.choices)
    if (std::none_of(units.begin(), units.end(), [&](const unit& u) { return u.name == c.unit; }))
      bad("unit " + shown(c.unit) + " is not in this model",
          units.empty() ? "a model with matrices" : "units like " + units.front().name);

  std::vector<matrix_choice> result(matrices.size());
  for (const unit& u : units) {
    const choice* c = p.find(u.name);
    if (c == nullptr) bad("unit " + u.name + " has no choice", "one line for every unit of the model");
    const std::size_t entry = Menu::index_of(c->codec);
    if (c->rank != 0)
      bad("unit " + u.name + " asks for rank " + std::to_string(c->rank),
          "no rank= here: a low-rank codec states its rank in its name, like rank50.float16");
    if (c->sparsity > 0 && !options.let_zeros_move && !menu_facts<Menu>::keeps_zero(entry))
      bad("unit " + u.name + " is pruned, but " + c->codec + " does not keep zero: pruned weights would not stay zero",
          "a codec that keeps zero (affine, symmetric, float16), no pruning, or let_zeros_move");
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

/// The exact sizes of a resolved plan, known before anything is encoded.
template<class = void>
[[nodiscard]] inline size_report size_of(std::span<const matrix_choice> choices,
                                         std::size_t original_bits = 32) noexcept {
  size_report sum;
  for (const matrix_choice& c : choices)
    sum += {.weights = c.out * c.in, .original_bytes = (c.out * c.in * original_bits + 7) / 8, .packed_bytes = c.bytes};
  return sum;
}

/// Prunes a copy of one matrix and encodes it. Requires packed.size() == choice.bytes.
///
/// The fit chooses the codes of integer and small-float formats; other codecs use their own `encode`. `importance`: one
/// number per column, the mean square of its inputs, or none; for codecs that take it, such as ggml's blocks.
/// Errors   weights that are not finite, by matrix, row and column; weights that the codec cannot hold.
template<codec_menu Menu, class Fit = fit::nearest>
void pack_matrix(weight_view weights, const matrix_choice& choice, std::span<std::byte> packed, const Fit& fit = {},
                 std::span<const float> importance = {}) {
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
    if (const auto format = menu_facts<Menu>::format(choice.entry)) {
      if constexpr (std::is_same_v<Fit, fit::nearest>)
        fit.template operator()<menu_facts<Menu>::formats()>(*format, weights, packed);
      else
        fit(*format, weights, packed);
      return;
    }
    menu_facts<Menu>::encode_without_fit(choice.entry, weights, importance, packed);
  };
#if defined(__cpp_exceptions)
  try {
    encode();
  } catch (const error& e) {  // the codec does not know the name of the matrix
    problem named = e.reason();
    named.where = choice.name + ": " + named.where;
    refuse(std::move(named));
  }
#else
  encode();
#endif
}

/// One matrix and the bytes that an engine runs.
struct encoded_matrix {
  matrix_choice choice = {};
  aligned_bytes bytes = {};
  std::optional<kernel::packed_format> format =
      {};  ///< nullopt: the codec's own, which no kernel of this library knows

  /// The matrix as kernel::multiply takes it. Errors: a codec without a format.
  template<class = void>
  [[nodiscard]] kernel::packed_matrix view() const {
    if (!format)
      refuse({.what = "codec " + choice.codec + " has no packed product",
              .where = choice.name,
              .expected = "a codec with a static member `format` or `multiply`; see docs/models.md#codecs"});
    return {*format, bytes.data(), choice.out, choice.in};
  }
};

/// A packed model: a plain value.
struct packed_model {
  std::string model{};                     ///< fingerprint of the original; empty = unknown
  std::vector<encoded_matrix> matrices{};  ///< in the model's order
  size_report size = {};

  /// The matrix called `name`. Errors: there is none.
  template<class = void>
  [[nodiscard]] const encoded_matrix& operator[](std::string_view name) const {
    for (const encoded_matrix& m : matrices)
      if (m.choice.name == name) return m;
    refuse({.what = "no matrix called '" + std::string(name) + "'",
            .where = "packed_model",
            .expected = matrices.empty() ? "a model with matrices" : "a name like " + matrices.front().choice.name});
  }
};

/// Packs every matrix according to the plan. The model is not changed.
///
/// Errors   those of `resolve` and `pack_matrix`.
/// Cost     memory: the packed bytes and one pruned copy at a time.
template<codec_menu Menu, weighted_model Model, class Fit = fit::nearest>
[[nodiscard]] packed_model pack(const Model& model, const plan& p, const Fit& fit = {},
                                const pack_options& options = {}) {
  const std::span<const matrix_info> matrices = model.matrices();
  packed_model result{.model = options.model.empty() ? p.model : options.model, .matrices = {}, .size = {}};
  std::vector<matrix_choice> choices = resolve<Menu>(matrices, p, options);
  result.size = size_of(as_span(choices), options.original_bits);
  for (matrix_choice& c : choices) {
    aligned_bytes bytes(c.bytes);
    pack_matrix<Menu>(model.weights(c.matrix), c, bytes, fit);
    const auto format = menu_facts<Menu>::packed_format(c.entry);
    result.matrices.push_back({.choice = std::move(c), .bytes = std::move(bytes), .format = format});
  }
  return result;
}

/// Chosen only if the overload above does not match: its error names the missing member and how to add it.
template<class Menu, class Model, class... Rest>
  requires(!(codec_menu<Menu> && weighted_model<Model>))
refused pack(const Model&, const plan&, const Rest&...) {
  detail::explain_menu<Menu>();
  static_assert(weighted_model<Model>,
                "precis: pack needs a weighted_model. Add matrices() and weights(i) to the adaptor. See "
                "docs/models.md#weighted");
  return {};
}

/// The result of `apply`.
struct applied {
  std::vector<matrix_choice> matrices{};
  size_report size = {};
  std::size_t removed = 0;  ///< number of pruned weights
};

/// Prunes, packs and decodes every matrix in place, so that the compressed model can be evaluated. A weight_guard
/// restores the original weights.
///
/// Errors   those of `resolve`, before anything is changed; those of `pack_matrix`, after the preceding matrices were
///          replaced.
/// Cost     memory: one packed and one pruned matrix at a time.
/// @post    the weights are those of `pack`, decoded.
template<codec_menu Menu, mutable_model Model, class Fit = fit::nearest>
applied apply(Model& model, const plan& p, const Fit& fit = {}, const pack_options& options = {}) {
  applied result{.matrices = resolve<Menu>(model.matrices(), p, options), .size = {}, .removed = 0};
  result.size = size_of(as_span(result.matrices), options.original_bits);
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

/// Chosen only if the overload above does not match: its error names the missing member and how to add it.
template<class Menu, class Model, class... Rest>
  requires(!(codec_menu<Menu> && mutable_model<std::remove_reference_t<Model>> && std::is_lvalue_reference_v<Model>))
refused apply(Model&&, const plan&, const Rest&...) {
  detail::explain_menu<Menu>();
  static_assert(mutable_model<std::remove_cvref_t<Model>>,
                "precis: apply needs a mutable_model: it replaces weights. Add mutable_weight_view weights(i) to the "
                "adaptor. See docs/models.md#mutable");
  static_assert(std::is_lvalue_reference_v<Model> && !std::is_const_v<std::remove_reference_t<Model>>,
                "precis: apply replaces the weights of its model, so it needs a model that is neither const nor a "
                "temporary. To keep the model, use pack. See docs/models.md#mutable");
  return {};
}

}  // namespace precis
