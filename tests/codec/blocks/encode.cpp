#include <precis/codec/blocks/encode_fp4.hpp>
#include <precis/codec/blocks/encode_iq4.hpp>
#include <precis/codec/blocks/encode_k.hpp>
#include <precis/codec/blocks/encode_lattice.hpp>
#include <precis/codec/blocks/encode_small.hpp>
#include <precis/codec/blocks/encode_ternary.hpp>

#include "kernel/blocks/golden.hpp"

#include "catch.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

using namespace precis;

namespace {

using golden::splitmix64;

/// The weights of an entry of "inputs".
std::vector<float> input_of(const nlohmann::json& j) {
  const std::string kind = j.value("kind", "sum4");
  const double scale = j.at("scale"), offset = j.value("offset", 0.0);
  splitmix64 random{j.value("seed", std::uint64_t{0})};
  std::vector<float> x(j.at("rows").get<std::size_t>() * j.at("cols").get<std::size_t>());
  for (std::size_t i = 0; i < x.size(); ++i) {
    double v = scale;
    if (kind == "sum4") {
      double sum = random.uniform();
      for (int k = 0; k < 3; ++k) sum += random.uniform();
      v = (sum - 2.0) * scale;
    } else if (kind == "ternary") {
      v = (std::floor(3 * random.uniform()) - 1) * scale;
    } else if (kind == "steps") {
      v = (std::floor(31 * random.uniform()) - 15) * scale;
    }
    v += offset;
    if (j.contains("halve_every"))
      v *= std::exp2(-static_cast<double>(i % 256 / j.at("halve_every").get<std::size_t>()));
    if (j.contains("sign")) v = std::abs(v) * j.at("sign").get<double>();
    x[i] = static_cast<float>(v + 0.0);
  }
  if (j.contains("zero"))
    for (const auto& range : j.at("zero"))
      for (std::size_t i = range[0]; i < range[1].get<std::size_t>(); ++i) x[i] = 0;
  if (j.contains("set"))
    for (const auto& one : j.at("set"))
      x[one[0].get<std::size_t>()] = std::strtof(one[1].get<std::string>().c_str(), nullptr);
  return x;
}
/// The importance of an entry of "importance", for rows of `cols` weights.
std::vector<float> importance_of(const nlohmann::json& j, std::size_t cols) {
  splitmix64 random{j.at("seed").get<std::uint64_t>()};
  const double zeros = j.value("zeros", 0.0);
  std::vector<float> w(cols);
  for (float& v : w) {
    const double u1 = random.uniform(), u2 = random.uniform(), u3 = random.uniform();
    v = u3 < zeros ? 0.f : static_cast<float>((1 + u1) * std::exp2(std::floor(10 * u2) - 5));
  }
  if (j.contains("zero"))
    for (const auto& range : j.at("zero"))
      for (std::size_t i = range[0]; i < range[1].get<std::size_t>() && i < cols; ++i) w[i] = 0;
  return w;
}

}  // namespace

TEST_CASE("blocks @post: encoders give the bytes of ggml's, with and without importance", "[codec][blocks][oracle]") {
  const auto path = shared_path("golden/ggml-k-blocks.json");
  if (!path) return;
  std::ifstream file(*path);
  const auto json = nlohmann::json::parse(file);
  std::size_t seen = 0;
  for (const auto& c : json.at("encode")) {
    const std::string name = c.at("type"), input = c.at("input");
    const bool weighted = c.contains("importance") && !c.at("importance").is_null();
    const std::string importance_name = weighted ? c.at("importance").get<std::string>() : "none";
    CAPTURE(name, input, importance_name);
    const std::vector<float> x = input_of(json.at("inputs").at(input));
    const std::size_t cols = json.at("inputs").at(input).at("cols");
    const std::vector<float> q =
        weighted ? importance_of(json.at("importance").at(importance_name), cols) : std::vector<float>{};
    const bool overflows = c.contains("sse") && c.at("sse").is_null();
    golden::with_block(name, [&](auto block) {
      using type = decltype(block);
      {
        std::vector<std::byte> bytes(x.size() / type::weights * type::bytes);
        for (std::size_t i = 0; i < x.size(); i += cols) {
          std::byte* const to = &bytes[i / type::weights * type::bytes];
          const float* const importance = weighted ? q.data() : nullptr;
          if constexpr (requires { codec::blocks::encode_row(block, x.data(), cols, importance, to); })
            codec::blocks::encode_row(block, &x[i], cols, importance, to);
          else
            for (std::size_t k = 0; k < cols; k += type::weights)
              codec::blocks::encode(block, &x[i + k], weighted ? &q[k] : nullptr, to + k / type::weights * type::bytes);
        }
        ++seen;
        if (overflows || c.value("asserts", false)) return;
        if (c.contains("hex")) CHECK(golden::hex(bytes) == c.at("hex").get<std::string>());
        CHECK(golden::fnv(bytes) == c.at("fnv1a64").get<std::string>());
      }
    });
  }
  CHECK(seen == 784);
}
