#include <engine/model_files/gguf_parts.hpp>

#include <engine/model_files/gguf_model.hpp>
#include <engine/model_files/load.hpp>

#include "catch.hpp"
#include "engine/tiny_models.hpp"
#include "refusal.hpp"

using namespace support;
namespace fs = std::filesystem;

namespace {

/// What to get wrong in one part.
struct part_changes {
  std::string name;
  std::uint32_t number = 0, count = 3, tensors = 0;
};

/// Writes the tensors of m.gguf, in turn, to three parts, as llama.cpp's tool does: all keys only in the first.
void split(const fs::path& folder, const std::function<void(std::size_t, part_changes&)>& change = {},
           std::size_t twice = 99) {
  const engine::mapped_file whole(folder / "m.gguf");
  const engine::gguf_header h = engine::parse_gguf(whole.bytes(), "m.gguf");
  for (std::size_t i = 0; i < 3; ++i) {
    part_changes p{.name = engine::gguf_part_name("s", i, 3),
                   .number = static_cast<std::uint32_t>(i),
                   .tensors = static_cast<std::uint32_t>(h.tensors.size())};
    engine::gguf_metadata keys;
    if (i == 0)
      for (const engine::gguf_stored& k : h.stored)
        keys.emplace_back(k.key, std::vector<std::byte>(k.value.begin(), k.value.end()));
    if (change) change(i, p);
    keys.emplace_back("split.no", p.number);
    keys.emplace_back("split.count", p.count);
    keys.emplace_back("split.tensors.count", p.tensors);
    std::vector<const engine::gguf_tensor*> some;
    for (std::size_t t = 0; t < h.tensors.size(); ++t)
      if (t % 3 == i || t == twice) some.push_back(&h.tensors[t]);
    std::vector<engine::gguf_declaration> declared;
    for (const engine::gguf_tensor* t : some) declared.push_back({t->name, std::string(t->format), t->shape});
    engine::gguf_writer writer(folder / p.name, keys, declared);
    for (const engine::gguf_tensor* t : some) writer.write(whole.bytes().subspan(t->first_byte, t->bytes));
    writer.commit();
  }
}

}  // namespace

TEST_CASE("a split model is read from any of its files, as the whole one is", "[engine][gguf][property]") {
  const temporary_folder folder;
  engine::save(engine::zeros(tiny_gpt2()), folder / "m");
  engine::write_gguf(folder / "m", folder / "m.gguf", {});
  split(folder.path());
  CHECK(engine::gguf_part_name("a", 1, 12) == "a-00002-of-00012.gguf");
  const engine::bundle whole = engine::load(folder / "m.gguf");
  for (const std::string name : {"s-00001-of-00003.gguf", "s-00003-of-00003.gguf"}) {
    const engine::bundle back = engine::load(folder / name);
    CHECK(same(back.weights, whole.weights));
    CHECK(back.fingerprint == whole.fingerprint);
    CHECK(engine::gguf_parts_of(folder / name).size() == 3);
  }
  CHECK(engine::gguf_parts_of(folder / "m.gguf") == std::vector<fs::path>{folder / "m.gguf"});
}

TEST_CASE("a model is written in several files, which are read as one", "[engine][gguf][property]") {
  const temporary_folder folder;
  engine::save(engine::zeros(tiny_gpt2()), folder / "m");
  engine::write_gguf(folder / "m", folder / "m.gguf", {});
  const engine::bundle whole = engine::load(folder / "m.gguf");
  const engine::compressed_sizes sizes =
      engine::write_gguf(folder / "m", folder / "s.gguf", {}, {.tokenizer = {}, .made_from = {}, .split_bytes = 4096});
  REQUIRE(sizes.files.size() > 2);
  CHECK(sizes.files[1].filename() == engine::gguf_part_name("s", 1, sizes.files.size()));
  std::size_t tensors = 0;
  for (const fs::path& file : sizes.files) {
    const engine::mapped_file bytes(file);
    const engine::gguf_header h = engine::parse_gguf(bytes.bytes(), file.string());
    std::size_t sum = 0;
    for (const engine::gguf_tensor& t : h.tensors) sum += t.bytes;
    CHECK((sum <= 4096 || h.tensors.size() == 1));
    CHECK(h.metadata.contains("general.architecture") == (file == sizes.files.front()));
    tensors += h.tensors.size();
    CHECK(engine::load(file).fingerprint == whole.fingerprint);
  }
  const engine::mapped_file one(folder / "m.gguf");
  CHECK(tensors == engine::parse_gguf(one.bytes(), "m.gguf").tensors.size());
  // The parts as one file again: the keys of the parts are gone.
  engine::write_gguf(sizes.files[2], folder / "again.gguf", {});
  CHECK(slurp(folder / "again.gguf").find("split.") == std::string::npos);
  CHECK(engine::load(folder / "again.gguf").fingerprint == whole.fingerprint);
  CHECK_THAT(refusal([&] {
               engine::write_gguf(folder / "m", folder / "s.gguf", {},
                                  {.tokenizer = {}, .made_from = {}, .split_bytes = 4096});
             }),
             ContainsSubstring("already exists"));
}

TEST_CASE("a split model with a part that is missing, renamed or foreign is refused by name",
          "[engine][gguf][refusal]") {
  const temporary_folder folder;
  engine::save(engine::zeros(tiny_gpt2()), folder / "m");
  engine::write_gguf(folder / "m", folder / "m.gguf", {});
  const auto said = [&](const std::string& name = "s-00001-of-00003.gguf") {
    return refusal([&] { (void)engine::open_source(folder / name); });
  };
  split(folder.path());
  fs::remove(folder / "s-00002-of-00003.gguf");
  CHECK_THAT(said(), ContainsSubstring("one of 3 files, without s-00002-of-00003.gguf"));
  split(folder.path());
  fs::rename(folder / "s-00001-of-00003.gguf", folder / "other.gguf");
  CHECK_THAT(said("other.gguf"), ContainsSubstring("renamed") && ContainsSubstring("-00001-of-00003.gguf"));
  CHECK_THAT(said("s-00002-of-00003.gguf"), ContainsSubstring("without s-00001-of-00003.gguf"));
  split(folder.path(), [](std::size_t i, part_changes& p) {
    if (i == 1) p.number = 2;
  });
  CHECK_THAT(said(), ContainsSubstring("part 3 of its model; expected part 2"));
  split(folder.path(), [](std::size_t i, part_changes& p) {
    if (i == 2) ++p.tensors;
  });
  CHECK_THAT(said(), ContainsSubstring("s-00003-of-00003.gguf: the part of another model"));
  split(folder.path(), [](std::size_t, part_changes& p) { p.tensors += 5; });
  CHECK_THAT(said(), ContainsSubstring("tensors in all 3 files"));
  split(folder.path(), {}, 2);
  CHECK_THAT(said(), ContainsSubstring("\" is in ") && ContainsSubstring("too"));
  split(folder.path(), [](std::size_t i, part_changes& p) {
    if (i == 0) p.count = 100'000;
  });
  CHECK_THAT(said(), ContainsSubstring("split.count"));
  split(folder.path());
  CHECK(said().empty());
}
