#if !defined(PRECIS_CODEC_DENSE_COPY)
#define PRECIS_CODEC_DENSE_COPY

#include <precis/core/algorithms.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <vector>

namespace precis::codec {
PRECIS_IEEE_BEGIN

/// Copies a matrix to another of the same shape, in square tiles, so that a transposed source is not read one cache
/// line per element. Requires equal shapes and no overlap.
template<class = void>
inline void copy_values(weight_view from, mutable_weight_view to) {
  PRECIS_EXPECTS(from.rows == to.rows && from.cols == to.cols, "equal shapes");
  constexpr std::size_t tile = 16;
  for (std::size_t r0 = 0; r0 < from.rows; r0 += tile)
    for (std::size_t c0 = 0; c0 < from.cols; c0 += tile)
      for (std::size_t r = r0; r < std::min(r0 + tile, from.rows); ++r)
        for (std::size_t c = c0; c < std::min(c0 + tile, from.cols); ++c) to(r, c) = from(r, c);
}

/// A view with contiguous rows: of the given matrix if its rows are contiguous, otherwise of a copy.
class with_contiguous_rows {
 public:
  template<class = void>
  explicit with_contiguous_rows(weight_view w) : view_(w) {
    if (w.rows_contiguous()) return;
    copy_.resize(w.size());
    const mutable_weight_view dense(copy_, w.rows, w.cols);
    copy_values(w, dense);
    view_ = dense;
  }
  with_contiguous_rows(const with_contiguous_rows&) = delete;
  with_contiguous_rows& operator=(const with_contiguous_rows&) = delete;
  [[nodiscard]] weight_view view() const noexcept { return view_; }

 private:
  weight_view view_;
  std::vector<float> copy_;
};

PRECIS_IEEE_END
}  // namespace precis::codec

#endif  // PRECIS_CODEC_DENSE_COPY
