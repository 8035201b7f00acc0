// The bytes up to a NUL are read as config.json, those after it as model.safetensors, plain or compressed. Together
// they are a model or are refused, both for decoding and for packed inference.

#include <engine/model/family.hpp>
#include <engine/model_files/load.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/error.hpp>

#include "../temporary_folder.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace {

namespace fs = std::filesystem;

struct model_folder {
  const temporary_folder owner;
  const fs::path path = owner.path();

  void put(std::string_view name, std::string_view text) const {
    fs::remove(path / name);  // a new file is written back lazily, an overwritten one immediately
    std::ofstream(path / name, std::ios::binary) << text;
  }
};

/// The integer formats, and "bytes": one byte per weight.
precis::codec::grid_format format_of(std::string_view codec) {
  if (const auto f = precis::codec::parse_grid_format(codec)) return *f;
  precis::refuse({.what = "no codec of that name", .where = "fuzz", .expected = "another one"});
}
const engine::matrix_decoder decoder{
    .bytes = [](std::string_view codec, std::size_t out,
                std::size_t in) { return codec == "bytes" ? out * in : format_of(codec).layout_of(out, in).bytes; },
    .decode =
        [](std::string_view codec, std::span<const std::byte> packed, precis::mutable_weight_view w) {
          if (codec != "bytes") return precis::codec::decode(format_of(codec), packed, w);
          for (std::size_t r = 0; r < w.rows; ++r)
            for (std::size_t c = 0; c < w.cols; ++c) w(r, c) = static_cast<float>(packed[r * w.cols + c]);
        }};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const model_folder folder;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(all.find('\0'), size);
  folder.put("config.json", all.substr(0, cut));
  folder.put("model.safetensors", all.substr(std::min(cut + 1, size)));
  try {
    const engine::bundle b = engine::load(folder.path, {.tokenizer = {}, .decoder = decoder});
    engine::check(b.weights);  // a loaded model is complete ...
    if (!engine::family_of(b.config()).causal) return 0;
    // ... and also runs packed.
    if (engine::load_packed(engine::open_source(folder.path), decoder).bytes() == 0) std::abort();
  } catch (const precis::error&) {}
  return 0;
}
