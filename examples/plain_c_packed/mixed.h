// Mixed precision for an engine in plain C++: a matrix that knows its format, packed from floats according to a plan,
// and the product. Copy it and adapt it: list the formats that your plans use.

#pragma once

#include <precis/codec/affine.hpp>
#include <precis/codec/symmetric.hpp>
#include <precis/core/plan.hpp>
#include <precis/multiply.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

constexpr auto half = precis::codec::scale_type::float16;
using mixed_menu = precis::menu<precis::codec::affine<3, 64, half>, precis::codec::affine<4, 32>,
                                precis::codec::symmetric_full<5, 32>, precis::codec::symmetric<8>>;

struct mixed {
  precis::kernel::packed_matrix matrix;  // [d x n]
  float* workspace;                      // for one vector
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
    if (chosen == nullptr || !mixed_menu::contains(chosen->codec)) {
      fprintf(stderr, "%s: no format of the menu\n", unit.c_str());
      exit(2);
    }
    const size_t entry = mixed_menu::index_of(chosen->codec), bytes = mixed_menu::bytes(entry, d, n);
    std::byte* const data = static_cast<std::byte*>(aligned_alloc(64, (bytes + 63) / 64 * 64));
    mixed_menu::encode(entry, {w + l * d * n, d, n, static_cast<std::ptrdiff_t>(n), 1}, {data, bytes});
    all[l].matrix = {*precis::kernel::parse_format(chosen->codec), data, d, n};
    all[l].workspace = static_cast<float*>(malloc(precis::kernel::vector_workspace(all[l].matrix) * sizeof(float)));
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
  using formats = precis::kernel_formats<mixed_menu>;
  precis::kernel::multiply<formats>(w.matrix, {x, w.matrix.in}, {out, w.matrix.out},
                                    {w.workspace, precis::kernel::vector_workspace(w.matrix)});
}
