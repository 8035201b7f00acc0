// Mixed precision for an engine in plain C++: a matrix that knows its format, packed from floats according to a plan,
// and the product. Copy it and adapt it.

#pragma once

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/plan.hpp>
#include <precis/kernel/matvec.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

struct mixed {
  precis::kernel::packed_grid matrix;  // [d x n]
  float* workspace;                    // for one vector
};

/// Reads a plan that `precis plan --units matrix` wrote.
inline precis::plan mixed_plan(const char* path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return precis::parse_plan(text, path);
}

/// Packs the matrices of all layers, w[layers x d x n], in the formats that the plan names for layers.L.NAME.
inline mixed* mixed_pack(const precis::plan& plan, const char* name, const float* w, size_t layers, size_t d, size_t n) {
  mixed* const all = static_cast<mixed*>(malloc(layers * sizeof(mixed)));
  for (size_t l = 0; l < layers; l++) {
    const std::string unit = "layers." + std::to_string(l) + "." + name;
    const precis::choice* const chosen = plan.find(unit);
    const auto format = precis::codec::parse_grid_format(chosen == nullptr ? "" : chosen->codec);
    if (!format || precis::kernel::segment_of(*format, n) == 0) {
      fprintf(stderr, "%s: no format that is multiplied packed\n", unit.c_str());
      exit(2);
    }
    const size_t bytes = format->layout_of(d, n).bytes, segment = precis::kernel::segment_of(*format, n);
    std::byte* const data = static_cast<std::byte*>(aligned_alloc(64, (bytes + 63) / 64 * 64));
    precis::codec::encode(*format, {w + l * d * n, d, n, static_cast<std::ptrdiff_t>(n), 1}, {data, bytes});
    all[l].matrix = {*format, data, d, n};
    all[l].workspace =
        static_cast<float*>(malloc(precis::kernel::float_activation_workspace(n, segment) * sizeof(float)));
  }
  return all;
}

inline void mixed_free(mixed* all, size_t layers) {
  for (size_t l = 0; l < layers; l++) {
    free(const_cast<std::byte*>(all[l].matrix.data));
    free(all[l].workspace);
  }
  free(all);
}

/// out[d] = w x[n]
inline void matmul(float* out, const float* x, const mixed& w) {
  const size_t n = w.matrix.in, segment = precis::kernel::segment_of(w.matrix.format, n);
  const size_t floats = precis::kernel::float_activation_workspace(n, segment);
  precis::kernel::matvec(w.matrix, precis::kernel::as_floats({x, n}, segment, {w.workspace, floats}),
                         {out, w.matrix.out});
}
