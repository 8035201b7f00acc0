#if !defined(PRECIS_CODEC_WEIGHT_CHECKS)
#define PRECIS_CODEC_WEIGHT_CHECKS

#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>

/// What codecs check before they encode or decode.
namespace precis::codec {
PRECIS_IEEE_BEGIN

/// Refuses the first weight that is NaN or infinite, by row and column. Cost: one read.
template<class = void>
inline void check_finite(weight_view w, const std::string& where) {
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c)
      if (!kernel::is_finite(w(r, c)))
        refuse({.what = "the weight in row " + std::to_string(r) + ", column " + std::to_string(c) + " is " +
                        (kernel::is_nan(w(r, c)) ? "NaN"
                         : w(r, c) > 0           ? "infinity"
                                                 : "-infinity"),
                .where = where,
                .expected = "finite weights"});
}

/// Refuses the first weight below 0, by row and column: formats of powers have no sign. Cost: one read.
template<class = void>
inline void check_not_negative(weight_view w, const std::string& where) {
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c)
      if (w(r, c) < 0)
        refuse({.what = std::to_string(w(r, c)) + " in row " + std::to_string(r) + ", column " + std::to_string(c),
                .where = where,
                .expected = "nothing below 0: powers of two have no sign"});
}

/// Refuses a buffer of `have` bytes for a matrix that needs `need` bytes in the codec called `name`.
template<class = void>
[[noreturn]] inline void refuse_size(const std::string& name, std::size_t have, std::size_t need, weight_view w) {
  refuse({.what = std::to_string(have) + " bytes for a matrix of " + std::to_string(w.rows) + " x " +
                  std::to_string(w.cols),
          .where = "codec " + name,
          .expected = std::to_string(need) + " bytes"});
}

/// Refuses a buffer that does not have `need` bytes.
template<class = void>
inline void check_size(const std::string& name, std::size_t have, std::size_t need, weight_view w) {
  if (have != need) refuse_size(name, have, need, w);
}

/// Refuses importances of the columns of `w` for the codec called `name`: none, or one number of at least 0 per column.
template<class = void>
inline void check_importance(const std::string& name, std::span<const float> importance, weight_view w) {
  if (importance.empty()) return;
  if (importance.size() != w.cols)
    refuse(
        {.what = std::to_string(importance.size()) + " importances for rows of " + std::to_string(w.cols) + " weights",
         .where = "codec " + name,
         .expected = "one for each column"});
  for (std::size_t c = 0; c < w.cols; ++c)
    if (!kernel::is_finite(importance[c]) || importance[c] < 0)
      refuse({.what = "the importance of column " + std::to_string(c) + " is " + std::to_string(importance[c]),
              .where = "codec " + name,
              .expected = "a finite number of at least 0"});
}

PRECIS_IEEE_END
}  // namespace precis::codec

#endif  // PRECIS_CODEC_WEIGHT_CHECKS
