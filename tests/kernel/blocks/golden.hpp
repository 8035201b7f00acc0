#pragma once

#include <precis/kernel/blocks/fp4_blocks.hpp>
#include <precis/kernel/blocks/iq4_blocks.hpp>
#include <precis/kernel/blocks/k_blocks.hpp>
#include <precis/kernel/blocks/lattice_blocks.hpp>
#include <precis/kernel/blocks/small_blocks.hpp>
#include <precis/kernel/blocks/ternary_blocks.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What the golden file of ggml's blocks is made of.
namespace golden {

/// The generator of the golden file's inputs.
struct splitmix64 {
  std::uint64_t state = 0;

  std::uint64_t next() {
    std::uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
};

inline std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte b : bytes)
    for (const unsigned nibble : {static_cast<unsigned>(b) >> 4, static_cast<unsigned>(b) & 15u})
      text += "0123456789abcdef"[nibble];
  return text;
}
/// The 64-bit FNV-1a hash of the golden file, which starts from 1469598103934665603.
inline std::string fnv(const std::vector<std::byte>& bytes) {
  std::uint64_t hash = 1469598103934665603u;
  for (const std::byte b : bytes) hash = (hash ^ static_cast<std::uint64_t>(b)) * 0x100000001b3u;
  std::vector<std::byte> big(8);
  for (std::size_t i = 0; i < 8; ++i) big[i] = static_cast<std::byte>(hash >> (56 - 8 * i) & 0xFF);
  return hex(big);
}
inline std::vector<std::byte> little_endian(const std::vector<float>& x) {
  std::vector<std::byte> bytes(4 * x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    precis::kernel::put_word32(precis::kernel::bit_cast<std::uint32_t>(x[i]), &bytes[4 * i]);
  return bytes;
}

/// Calls visit(T{}) for the block type of that name. @return whether there is one.
template<class Visit>
bool with_block(std::string_view name, Visit&& visit) {
  namespace b = precis::kernel::blocks;
  const auto matches = [&]<class... T>() { return ((name == T::name ? (visit(T{}), true) : false) || ...); };
  return matches
      .template operator()<b::q2_k, b::q3_k, b::q4_k, b::q5_k, b::q6_k, b::iq4_nl, b::iq4_xs, b::mxfp4, b::nvfp4,
                           b::tq1_0, b::tq2_0, b::q1_0, b::q2_0, b::iq1_s, b::iq1_m, b::iq2_xxs, b::iq2_xs, b::iq2_s,
                           b::iq3_xxs, b::iq3_s, b::q4_0, b::q4_1, b::q5_0, b::q5_1, b::q8_0>();
}

}  // namespace golden
