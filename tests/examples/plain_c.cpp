#include <engine/model/family.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/load.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/plan.hpp>

#include "catch.hpp"
#include "engine/tiny_models.hpp"
#include "shared.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

using namespace support;
namespace fs = std::filesystem;
using precis::token;

namespace {

/// The output of a command, which must succeed.
std::string printed(const std::string& command, const fs::path& log) {
  REQUIRE(std::system((command + " > '" + log.string() + "'").c_str()) == 0);
  return slurp(log);
}
const std::string examples = PRECIS_EXAMPLES;

std::vector<token> ids(const std::string& text) {
  std::istringstream in(text);
  std::vector<token> all;
  for (token t = 0; in >> t;) all.push_back(t);
  return all;
}

/// The reference engine's greedy continuation after BOS.
std::vector<token> greedy(const engine::packed_transformer& model, std::size_t count) {
  auto s = model.begin();
  std::vector<token> all;
  token last = 1;
  while (all.size() < std::min(count, model.shape().context)) {
    const std::span<const float> logits = model.append(s, {&last, 1});
    last = static_cast<token>(std::ranges::max_element(logits) - logits.begin());
    all.push_back(last);
  }
  return all;
}

/// A decoder for every integer format, by name.
engine::matrix_decoder any_grid() {
  return {.bytes = [](std::string_view name, std::size_t out,
                      std::size_t in) { return precis::codec::parse_grid_format(name)->layout_of(out, in).bytes; },
          .decode =
              [](std::string_view name, std::span<const std::byte> packed, precis::mutable_weight_view w) {
                precis::codec::decode(*precis::codec::parse_grid_format(name), packed, w);
              }};
}

void compare(const fs::path& checkpoint, const temporary_folder& folder, std::size_t count) {
  const engine::weights w = engine::load(checkpoint).weights;
  const std::string arguments = "' '" + checkpoint.string() + "' " + std::to_string(count);
  const std::vector<token> expected = greedy(engine::packed_transformer(engine::packed(w)), count);
  CHECK(ids(printed("'" + examples + "/example_plain_c" + arguments, folder / "log")) == expected);

  // Matrix m gets one of four formats.
  const std::string codecs[] = {"affine4.g32", "symmetric8.row", "affine3.g64.h", "symmetric_full5.g32"};
  precis::plan plan{.model = {}, .units = precis::unit_kind::matrix, .notes = {}, .choices = {}};
  std::vector<engine::compressed_matrix> matrices;
  const auto infos = engine::matrices_of(w.config);
  for (std::size_t m = 0; m < infos.size(); ++m) {
    const std::string& codec = codecs[m % 4];
    const auto format = *precis::codec::parse_grid_format(codec);
    plan.choices.push_back({.unit = infos[m].name, .codec = codec});
    matrices.push_back({.name = infos[m].name,
                        .codec = codec,
                        .bytes = format.layout_of(infos[m].out, infos[m].in).bytes,
                        .pack = [&w, m, format](std::span<std::byte> into) {
                          precis::codec::encode(format, engine::map_of(w, m).view(), into);
                        }});
  }
  put(folder / "m.plan", precis::to_text(plan));
  engine::write_compressed(checkpoint, folder / "packed", matrices);
  const engine::packed_transformer packed(engine::load_packed(engine::open_source(folder / "packed"), any_grid()));
  const auto found =
      ids(printed("'" + examples + "/example_plain_c_packed" + arguments + " '" + (folder / "m.plan").string() + "'",
                  folder / "log"));
  CHECK(found == greedy(packed, count));
  CHECK(found != expected);  // three bits do change the output
}

}  // namespace

TEST_CASE("the plain engine and its mixed-precision version agree with the reference engine",
          "[examples][plain_c][oracle]") {
  const temporary_folder folder;
  engine::config c = tiny_llama(false);
  c.width = 48;  // heads of 12, rows that end in a partial block
  c.heads = 4;
  c.kv_heads = 2;
  c.hidden = 100;
  c.vocabulary = 90;
  c.context = 40;
  engine::weights w = engine::zeros(c);
  const precis::random_stream random(2, precis::purpose("plain_c"));
  std::uint64_t draw = 0;
  for (const engine::tensor<float>& t : engine::tensors(w))
    for (float& v : t.values)
      v = t.shape.size() == 1 ? 1.f : static_cast<float>(random.normal(draw++) / std::sqrt(48.0));
  put(folder / "m.bin", llama2c_text(w));
  compare(folder / "m.bin", folder, 60);  // more than the context
}

TEST_CASE("they generate the same stories as the reference engine", "[examples][plain_c][golden]") {
  const auto stories = shared_path("models/stories260K/stories260K.bin");
  if (!stories) return;
  const temporary_folder folder;
  compare(*stories, folder, 120);
}

TEST_CASE("changes.diff is the difference between the two engines", "[examples][plain_c][property]") {
  const temporary_folder folder;
  const std::string here = std::string(PRECIS_SOURCE_DIR) + "/examples/";
  const int status = std::system(("cd '" + here +
                                  "' && diff -U1 --label plain_c/main.cpp --label plain_c_packed/main.cpp "
                                  "plain_c/main.cpp plain_c_packed/main.cpp > '" +
                                  (folder / "diff").string() + "'")
                                     .c_str());
  REQUIRE(status != 0);  // diff found differences
  CHECK(slurp(folder / "diff") == slurp(here + "plain_c_packed/changes.diff"));
}
