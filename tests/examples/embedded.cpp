#include <embedded/llama.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/load.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/plan.hpp>

#include "catch.hpp"
#include "engine/tiny_models.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

using namespace support;
namespace fs = std::filesystem;
using precis::token;

TEST_CASE("the embedded example agrees with the reference engine on the same packed model",
          "[examples][embedded][oracle]") {
  const temporary_folder folder;
  const fs::path checkpoint = fs::path(PRECIS_EXAMPLES) / "embedded" / "random.bin";
  engine::weights w = engine::load(checkpoint).weights;
  engine::to_floats(w);

  // The plan of the example's header, including the embedding.
  const precis::plan plan =
      precis::parse_plan(slurp(fs::path(PRECIS_SOURCE_DIR) / "examples" / "embedded" / "mixed.plan"));
  const auto format_of = [&](const std::string& unit) {
    const precis::choice* const chosen = plan.find(unit);
    REQUIRE(chosen != nullptr);
    return *precis::codec::parse_grid_format(chosen->codec);
  };
  std::vector<engine::compressed_matrix> matrices;
  const auto add = [&](const std::string& name, precis::weight_view values) {
    const auto format = format_of(name);
    matrices.push_back(
        {.name = name,
         .codec = to_string(format),
         .bytes = format.layout_of(values.rows, values.cols).bytes,
         .pack = [format, values](std::span<std::byte> into) { precis::codec::encode(format, values, into); }});
  };
  const auto infos = engine::matrices_of(w.config);
  for (std::size_t m = 0; m < infos.size(); ++m) add(infos[m].name, engine::map_of(w, m).view());
  for (const engine::tensor<const float>& t : engine::tensors(std::as_const(w)))
    if (t.name == "tok_embeddings.weight") add("tok_embeddings", {t.values, w.config.vocabulary, w.config.width});
  REQUIRE(matrices.size() == plan.choices.size());
  engine::write_compressed(checkpoint, folder / "packed", matrices);
  const engine::matrix_decoder any_grid{
      .bytes = [](std::string_view name, std::size_t out,
                  std::size_t in) { return precis::codec::parse_grid_format(name)->layout_of(out, in).bytes; },
      .decode =
          [](std::string_view name, std::span<const std::byte> packed, precis::mutable_weight_view to) {
            precis::codec::decode(*precis::codec::parse_grid_format(name), packed, to);
          }};
  const engine::packed_transformer model(engine::load_packed(engine::open_source(folder / "packed"), any_grid));

  const std::string program = (fs::path(PRECIS_EXAMPLES) / "example_embedded").string();
  REQUIRE(std::system(("'" + program + "' > '" + (folder / "log").string() + "'").c_str()) == 0);
  std::istringstream said(slurp(folder / "log"));
  auto s = model.begin();
  token last = 1;
  for (std::size_t position = 0; position < 128; ++position) {
    const std::span<const float> logits = model.append(s, {&last, 1});
    last = static_cast<token>(std::ranges::max_element(logits) - logits.begin());
    token found = 0;
    REQUIRE(said >> found);
    CAPTURE(position);
    REQUIRE(found == last);
  }
  std::string word;
  CHECK((said >> word && word == "logits"));
}

TEST_CASE("the embedded example's exp is accurate", "[examples][embedded][oracle]") {
  // r is off by half a unit of 2^-2 (2^-26) and the series by 2^-27; every step of Horner's rule by 2^-24 of its value,
  // which |r| < 0.35 shrinks before it reaches the last one: (1 + 0.35 + ...) 2^-24 + 2^-26 + 2^-27 < 2^-23.
  for (int i = -87 * 4096; i <= 88 * 4096; i += 3) {
    const float x = static_cast<float>(i) / 4096.f;
    const double exact = std::exp(static_cast<double>(x));
    REQUIRE(std::abs(static_cast<double>(embedded::exponential(x)) - exact) <= 0x1.0p-23 * exact);
  }
  CHECK(embedded::exponential(0.f) == 1.f);
  CHECK(embedded::exponential(-1000.f) == embedded::exponential(-87.f));
  CHECK(embedded::exponential(1000.f) == embedded::exponential(88.f));
}
