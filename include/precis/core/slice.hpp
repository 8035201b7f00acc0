#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precis {

/// The role of a linear map in its block.
enum class role { query, key, value, attention_out, mlp_in, mlp_gate, mlp_out, other };

inline constexpr role all_roles[] = {role::query,  role::key,      role::value,   role::attention_out,
                                     role::mlp_in, role::mlp_gate, role::mlp_out, role::other};

[[nodiscard]] constexpr std::string_view to_string(role r) noexcept {
  switch (r) {
    case role::query: return "query";
    case role::key: return "key";
    case role::value: return "value";
    case role::attention_out: return "attention_out";
    case role::mlp_in: return "mlp_in";
    case role::mlp_gate: return "mlp_gate";
    case role::mlp_out: return "mlp_out";
    case role::other: break;
  }
  return "other";
}

/// Parses the name of a role. Errors: an unknown name; `where` names the file in the message.
template<class = void>
[[nodiscard]] inline role parse_role(std::string_view word, std::string_view where) {
  std::vector<std::string_view> names;
  for (const role r : all_roles) {
    if (word == to_string(r)) return r;
    names.push_back(to_string(r));
  }
  refuse_unknown("role", word, as_span(names), where);
}

/// Rows and columns of a weight matrix that form a linear map of their own, such as the keys of a fused query-key-value
/// map or the keys of one head.
struct matrix_slice {
  std::string name = {};   ///< unique in the model: "h.3.attn.c_attn.key.head2"
  std::size_t matrix = 0;  ///< index into matrices()
  std::size_t layer = 0;
  precis::role role = precis::role::other;
  std::size_t first_out = 0;  ///< rows [first_out, first_out + out)
  std::size_t out = 0;
  std::size_t first_in = 0;  ///< columns [first_in, first_in + in)
  std::size_t in = 0;
  std::size_t heads = 1;  ///< number of heads that share the rows equally, or the columns of an attention_out

  [[nodiscard]] std::size_t rank() const noexcept { return std::min(out, in); }
  bool operator==(const matrix_slice&) const = default;
};

/// The view of a slice in its matrix.
template<class T>
[[nodiscard]] matrix_view<T> part_of(matrix_view<T> matrix, const matrix_slice& s) noexcept {
  return matrix.row_range(s.first_out, s.out).col_range(s.first_in, s.in);
}

/// One slice per matrix, covering all of it.
template<class = void>
[[nodiscard]] inline std::vector<matrix_slice> whole_matrices(std::span<const matrix_info> matrices) {
  std::vector<matrix_slice> all;
  for (std::size_t i = 0; i < matrices.size(); ++i)
    all.push_back({.name = matrices[i].name,
                   .matrix = i,
                   .layer = matrices[i].layer,
                   .out = matrices[i].out,
                   .in = matrices[i].in});
  return all;
}

/// The slices that have one of the wanted roles, in their order.
template<class = void>
[[nodiscard]] inline std::vector<matrix_slice> of_roles(std::span<const matrix_slice> slices,
                                                        std::span<const role> wanted) {
  std::vector<matrix_slice> matching;
  for (const matrix_slice& s : slices)
    if (std::find(wanted.begin(), wanted.end(), s.role) != wanted.end()) matching.push_back(s);
  return matching;
}

/// Splits slices that several heads share into one slice per head; the others are unchanged.
///
/// Errors   rows (or columns) that do not divide evenly among the heads.
template<class = void>
[[nodiscard]] inline std::vector<matrix_slice> by_head(std::span<const matrix_slice> slices) {
  std::vector<matrix_slice> parts;
  for (const matrix_slice& s : slices) {
    if (s.heads <= 1) {
      parts.push_back(s);
      continue;
    }
    const bool columns = s.role == role::attention_out;
    if ((columns ? s.in : s.out) % s.heads != 0)
      refuse({.what = "slice " + shown(s.name) + " of " + std::to_string(s.out) + " x " + std::to_string(s.in) +
                      " for " + std::to_string(s.heads) + " heads",
              .where = "by_head",
              .expected = "rows or columns that divide evenly"});
    for (std::size_t h = 0; h < s.heads; ++h) {
      matrix_slice part = s;
      part.heads = 1;
      part.name += ".head" + std::to_string(h);
      std::size_t &first = columns ? part.first_in : part.first_out, &count = columns ? part.in : part.out;
      count /= s.heads;
      first += h * count;
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

/// Refuses slices that do not fit the matrices, and repeated names. `where` names the stage in messages.
///
/// Cost     O(slices log slices).
template<class = void>
inline void check_slices(std::span<const matrix_slice> slices, std::span<const matrix_info> matrices,
                         const std::string& where) {
  std::vector<std::string_view> names;
  for (const matrix_slice& s : slices) {
    names.push_back(s.name);
    if (s.matrix < matrices.size() && s.out > 0 && s.in > 0 && s.first_out + s.out <= matrices[s.matrix].out &&
        s.first_in + s.in <= matrices[s.matrix].in)
      continue;
    refuse({.what = "slice " + shown(s.name) + ", rows " + std::to_string(s.first_out) + " to " +
                    std::to_string(s.first_out + s.out) + ", columns " + std::to_string(s.first_in) + " to " +
                    std::to_string(s.first_in + s.in) + " of matrix " + std::to_string(s.matrix),
            .where = where,
            .expected = "a non-empty part of one of the model's " + std::to_string(matrices.size()) + " matrices"});
  }
  check_unique(std::move(names), "slice", where);
}

}  // namespace precis
