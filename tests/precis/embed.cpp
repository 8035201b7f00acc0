#include <engine/model/encoder.hpp>
#include <engine/model_files/load.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include "catch.hpp"
#include "encoder_folder.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

using nlohmann::json;
using test::run;
using test::scratch;
using test::world;

namespace {

json embedded(const scratch& here, const std::string& texts, const std::vector<std::string>& more = {}) {
  test::write(here / "texts.json", texts);
  std::vector<std::string> command{"embed", "encoder", "--texts", "texts.json", "--json", "out.json"};
  command.insert(command.end(), more.begin(), more.end());
  const auto done = run(here.path(), command);
  CAPTURE(done.text);
  REQUIRE(done.status == 0);
  return json::parse(test::read(here / "out.json"));
}

}  // namespace

TEST_CASE("embed writes the normalized mean of the rows of every text", "[program][embed][oracle]") {
  const scratch here("embed");
  test::put_encoder(here / "encoder");
  const json out = embedded(here, R"(["the film was good", "bad"])");
  REQUIRE(out.at("embeddings").size() == 2);
  CHECK(out.at("cut") == 0);
  CHECK(out.at("tokens") == 6 + 3);  // [CLS] and [SEP] are tokens
  CHECK(out.at("pooling") == "mean");
  CHECK(out.at("normalized") == true);

  engine::bundle b = engine::load(here / "encoder", {});
  const std::vector<precis::token> ids = b.tokenizer.encode("the film was good");
  REQUIRE(ids.size() == 6);
  const engine::encoder model(std::move(b.weights));
  const precis::float_matrix rows = model.hidden(engine::texts(std::span(&ids, 1)));
  std::vector<double> mean(rows.cols);
  double square = 0;
  for (std::size_t c = 0; c < rows.cols; ++c) {
    for (std::size_t r = 0; r < rows.rows; ++r) mean[c] += static_cast<double>(rows(r, c));
    square += mean[c] * mean[c];
  }
  const auto written = out.at("embeddings")[0].get<std::vector<double>>();
  REQUIRE(written.size() == mean.size());
  for (std::size_t c = 0; c < mean.size(); ++c) CHECK(written[c] == Approx(mean[c] / std::sqrt(square)).margin(1e-6));
}

TEST_CASE("an embedding depends neither on the other texts nor on threads", "[program][embed][property]") {
  const scratch here("embed-alone");
  test::put_encoder(here / "encoder");
  const json together = embedded(here, R"(["good", "the film was not very good"])", {"--threads", "2"});
  const json alone = embedded(here, R"(["good"])", {"--threads", "1"});
  CHECK(together.at("embeddings")[0] == alone.at("embeddings")[0]);
  CHECK(together.at("embeddings")[1] != alone.at("embeddings")[0]);
}

TEST_CASE("embed leaves out the ends of long texts, not their last special token", "[program][embed]") {
  const scratch here("embed-long");
  test::put_encoder(here / "encoder", 6);
  const json out = embedded(here, R"(["the film was good", "the film was good not bad", "the film was"])");
  CHECK(out.at("cut") == 1);
  CHECK(out.at("tokens") == 6 + 6 + 5);
  CHECK(out.at("embeddings")[0] == out.at("embeddings")[1]);
  CHECK(out.at("embeddings")[0] != out.at("embeddings")[2]);
}

TEST_CASE("embed prints the beginning of one text's embedding", "[program][embed]") {
  const scratch here("embed-prompt");
  test::put_encoder(here / "encoder");
  const auto done = run(here.path(), {"embed", "encoder", "--prompt", "the film", "--json", "one.json"});
  CAPTURE(done.text);
  REQUIRE(done.status == 0);
  CHECK_THAT(done.text, ContainsSubstring("1 text of 4 tokens, width 32"));
  const json one = json::parse(test::read(here / "one.json"));
  CHECK(one.at("embeddings")[0] == embedded(here, R"(["the film"])").at("embeddings")[0]);
  const std::string shown = done.text.substr(done.text.find("32 numbers: ") + 12);
  CHECK(std::stod(shown) == Approx(one.at("embeddings")[0][0].get<double>()).margin(1e-6));
}

TEST_CASE("embed refuses what it cannot embed, by name, before the work", "[program][embed][refusal]") {
  const scratch here("embed-refused");
  test::put_encoder(here / "encoder");
  test::write(here / "texts.json", R"(["good"])");
  const auto said = [&](const std::vector<std::string>& more, const std::string& model = "encoder") {
    std::vector<std::string> command{"embed", model};
    command.insert(command.end(), more.begin(), more.end());
    const auto done = run(here.path(), command);
    CAPTURE(more, done.text);
    CHECK(done.status == 2);
    CHECK_FALSE(std::filesystem::exists(here / "out.json"));
    return done.text;
  };
  const auto of_file = [&](const std::string& text) {
    test::write(here / "bad.json", text);
    return said({"--texts", "bad.json", "--json", "out.json"});
  };
  CHECK_THAT(of_file("the film was good\n"), ContainsSubstring("bad.json: not valid JSON"));
  CHECK_THAT(of_file(R"({"texts": ["good"]})"), ContainsSubstring("bad.json: an object"));
  CHECK_THAT(of_file(R"(["good", 3])"), ContainsSubstring("as text 1"));
  CHECK_THAT(of_file("[]"), ContainsSubstring("bad.json: no texts"));
  CHECK_THAT(said({}), ContainsSubstring("--texts FILE.json or --prompt TEXT"));
  CHECK_THAT(said({"--prompt", "good", "--texts", "texts.json", "--json", "out.json"}),
             ContainsSubstring("--texts and --prompt"));
  CHECK_THAT(said({"--texts", "texts.json"}), ContainsSubstring("--texts without --json"));
  CHECK_THAT(said({"--texts", "none.json", "--json", "out.json"}), ContainsSubstring("none.json"));
  CHECK_THAT(said({"--prompt", "good", "--json", "out.json"}, world),
             ContainsSubstring("a model that is no sentence encoder"));
  CHECK_THAT(said({"--prompt", "good"}, PRECIS_SOURCE_DIR "/tests/engine/checkpoints/bert"),
             ContainsSubstring("a classifier"));
  CHECK_THAT(said({"--texts", "texts.json", "--json", "texts.json"}), ContainsSubstring("texts.json"));
  CHECK(test::read(here / "texts.json") == R"(["good"])");
}
