#include "arithmetic.hpp"
#include "world_model.hpp"

#include <engine/files/files.hpp>
#include <engine/model_files/source.hpp>

#include <precis/core/error.hpp>
#include <precis/core/thread_pool.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

namespace {

namespace fs = std::filesystem;
using clock_type = std::chrono::steady_clock;

struct options {
  fs::path out;
  fs::path checkpoint;
  std::uint64_t seed = 1;
  std::size_t steps = 4000;
  std::size_t threads = 0;
  std::size_t save_every = 200;
  double rate = 3e-3;
  bool resume = false;
};

[[nodiscard]] double seconds_since(clock_type::time_point start) {
  return std::chrono::duration<double>(clock_type::now() - start).count();
}

[[nodiscard]] std::string clock_text(double seconds) {
  const auto s = static_cast<long>(std::lround(seconds));
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

/// Prints one line per hundred steps: the mean loss since the last line, tokens per second, and the time left.
class reporter {
 public:
  reporter(std::size_t steps, std::size_t done) : steps_(steps), first_(done) {}

  void step(std::size_t done, const precis::nll& loss) {
    since_ += loss;
    tokens_ += loss.count;
    if (done % 100 != 0 && done != steps_) return;
    const double seconds = seconds_since(start_);
    const double left = seconds / static_cast<double>(done - first_) * static_cast<double>(steps_ - done);
    fmt::print("step {:5} of {}   loss {:.4f} nats/token   {:6.0f} tokens/s   {} left\n", done, steps_, since_.mean(),
               static_cast<double>(tokens_) / seconds, clock_text(left));
    std::fflush(stdout);
    last_ = since_.mean();
    since_ = {};
  }
  /// 0 if no step was left to run.
  [[nodiscard]] double last_loss() const noexcept { return last_; }
  [[nodiscard]] double seconds() const { return seconds_since(start_); }

 private:
  std::size_t steps_, first_, tokens_ = 0;
  clock_type::time_point start_ = clock_type::now();
  precis::nll since_;
  double last_ = 0;
};

[[nodiscard]] std::size_t weight_count(const engine::config& shape) {
  std::size_t weights = 0;
  for (const engine::tensor_shape& t : engine::expected_tensors(shape)) {
    std::size_t n = 1;
    for (const std::size_t extent : t.shape) n *= extent;
    weights += n;
  }
  return weights;
}

[[nodiscard]] std::string readme(const options& o, const train::recipe& r, const train::lesson& l, const train::exam& e,
                                 double loss, const std::string& minutes) {
  const std::size_t weights = weight_count(r.shape);
  std::string relations;
  for (std::size_t i = 0; i < train::relations; ++i)
    relations += fmt::format("| {} | {} | {} |\n", train::to_string(static_cast<train::relation>(i)), e.asked_of[i],
                             e.known_of[i]);
  return fmt::format(
      R"(# A small model of an invented world

A GPT-2 of {layers} layers, width {width}, {heads} heads, context {context} and {vocabulary} tokens, trained by this project on
sentences about people, cities, countries and companies that do not exist. `precis demo` traces
these facts and compresses the model. All of its data are made by this project; its license is that of the project (see LICENSE).

This folder, including this page, is the output of

    precis_train world --out examples/models/world --seed {seed} --steps {steps}{rate}

which took {minutes} for the present version.
The same command produces the same world, texts, tokenizer and facts. The weights are bit-identical for any number of
threads and across interruptions, provided that log, cos and pow of the C library return the same results.

| file | bytes | what it is |
|---|---|---|
| model.safetensors, config.json | {weight_bytes} | {weights} weights in binary16, in Hugging Face's GPT-2 layout |
| vocab.json, merges.txt | {tokenizer_bytes} | the byte-level BPE tokenizer, learned from the training text |
| facts.json | {facts_bytes} | {asked} questions in the format of the causal tracing paper's known facts; every answer is one token |
| heldout.txt | {heldout} | text for measuring perplexity; it states facts in sentences that do not occur in the training text |
| calibration.txt | {calibration} | text from the same distribution as the training text |

The world has {facts} facts about {subjects} subjects. Each fact has ten wordings, two of which are withheld:
they occur only in heldout.txt and in the questions. So a correct answer cannot be a memorized sentence. Four people share
each first name and two share each last name, so the model has to read the full name before it can recall a fact.

| | |
|---|---|
{loss}| perplexity of heldout.txt, windows of {context} | {perplexity:.3f} |
| questions answered | {known} of {asked} |

| relation | asked | answered |
|---|---|---|
{relations})",
      fmt::arg("layers", r.shape.layers), fmt::arg("width", r.shape.width), fmt::arg("heads", r.shape.heads),
      fmt::arg("context", r.shape.context), fmt::arg("vocabulary", r.shape.vocabulary), fmt::arg("seed", o.seed),
      fmt::arg("steps", o.steps), fmt::arg("rate", o.rate == options{}.rate ? "" : fmt::format(" --rate {}", o.rate)),
      fmt::arg("minutes", minutes), fmt::arg("weights", weights), fmt::arg("weight_bytes", 2 * weights),
      fmt::arg("tokenizer_bytes", l.vocab_json.size() + l.merges_txt.size()),
      fmt::arg("facts_bytes", train::facts_json(l.world, l.questions).size()), fmt::arg("asked", e.asked),
      fmt::arg("known", e.known), fmt::arg("heldout", l.held_out.size()), fmt::arg("calibration", l.calibration.size()),
      fmt::arg("facts", l.world.facts.size()), fmt::arg("subjects", l.world.subjects.size()),
      fmt::arg("loss",
               loss > 0 ? fmt::format("| training loss, last hundred steps | {:.3f} nats per token |\n", loss) : ""),
      fmt::arg("perplexity", e.held_out_perplexity), fmt::arg("relations", relations));
}

[[nodiscard]] std::size_t threads_of(const options& o) {
  return o.threads != 0 ? o.threads : std::max(1u, std::thread::hardware_concurrency());
}

[[nodiscard]] train::recipe recipe_of(const options& o, const engine::config& shape) {
  return {.shape = shape,
          .seed = o.seed,
          .steps = o.steps,
          .warm_up = std::min<std::size_t>(100, o.steps / 10),
          .peak_rate = o.rate};
}

/// A trained model as it is stored, and the cost of its training.
struct outcome {
  engine::weights weights;
  double loss = 0;      ///< mean of the last hundred steps; 0 if no step was left to run
  std::string minutes;  ///< processor time
  fs::path checkpoint;
};

[[nodiscard]] outcome run(const options& o, const train::recipe& recipe, train::corpus text) {
  const precis::thread_pool pool{threads_of(o)};
  outcome out{.weights = {},
              .loss = 0,
              .minutes = {},
              .checkpoint = o.checkpoint.empty() ? fs::path(o.out.string() + ".checkpoint") : o.checkpoint};
  train::trainer trainer(recipe, std::move(text));
  if (o.resume) {
    trainer.restore(out.checkpoint);
    fmt::print("resumed after step {}\n", trainer.step());
  }
  std::fflush(stdout);
  const bool whole = trainer.step() == 0;
  reporter report(o.steps, trainer.step());
  while (!trainer.done()) {
    const precis::nll loss = trainer.advance(pool);
    report.step(trainer.step(), loss);
    if (o.save_every != 0 && (trainer.step() % o.save_every == 0 || trainer.done())) trainer.save(out.checkpoint);
  }
  out.loss = report.last_loss();
  out.minutes = whole ? clock_text(static_cast<double>(std::clock()) / CLOCKS_PER_SEC) +
                            " minutes of processor time in all threads"
                      : "several runs";
  fmt::print("trained in {} minutes, last loss {:.4f}\n", clock_text(report.seconds()), out.loss);
  out.weights = trainer.model().parameters();
  train::round_to_half(out.weights);
  return out;
}

/// Checks that the target can be written, before the training rather than after it.
void require_writable(const options& o) {
  engine::atomic_folder writable(o.out, engine::atomic_folder::existing::replace);
}

void finish(const options& o, const outcome& done) {
  fmt::print("written: {}\n", o.out.string());
  std::error_code ignored;
  fs::remove(done.checkpoint, ignored);
}

void make_world_model(const options& o) {
  require_writable(o);
  const train::lesson lesson = train::prepare(o.seed);
  fmt::print(
      "{} facts about {} subjects, {} questions\n{} tokens of training text in {} paragraphs, vocabulary of {}\n",
      lesson.world.facts.size(), lesson.world.subjects.size(), lesson.questions.size(), lesson.training.ids.size(),
      lesson.training.starts.size(), lesson.tokenizer.size());
  const train::recipe recipe = recipe_of(o, train::world_shape(lesson.tokenizer.size()));
  const outcome done = run(o, recipe, lesson.training);
  const train::exam exam =
      train::examine(engine::transformer(done.weights), lesson, precis::thread_pool{threads_of(o)});
  train::publish(done.weights, lesson, readme(o, recipe, lesson, exam, done.loss, done.minutes), o.out);
  fmt::print("questions answered: {} of {} ({:.1f} %)\nheld-out perplexity: {:.4f}\n", exam.known, exam.asked,
             100 * exam.share(), exam.held_out_perplexity);
  finish(o, done);
}

[[nodiscard]] std::string arithmetic_readme(const options& o, const train::recipe& r, const train::arithmetic_exam& e,
                                            const outcome& done) {
  return fmt::format(
      R"(# A small model that has begun to learn arithmetic

A GPT-2 of {layers} layers, width {width}, {heads} heads, context {context} and {vocabulary} tokens, trained by this project on
lines like these, and stopped early, so that it has learned only a part:

    23 + 45 = 68        7 x 12 = 84         90 - 13 = 77        17 is less than 140
    count by 3: 5 8 11 14 17 20             put in order 90 3 41 7: 3 7 41 90
    after Monday comes Tuesday              after c comes d

It is an example for `precis eigenprune`, which improves models that have not fully learned a task. All of its data are made
by this project; its license is that of the project (see LICENSE).

This folder, including this page, is the output of

    precis_train arithmetic --out examples/models/arithmetic --seed {seed} --steps {steps}{rate}

which took {minutes} for the present version. The weights are bit-identical for any number of
threads and across interruptions, provided that log, cos and pow of the C library return the same results.

| file | what it is |
|---|---|
| model.safetensors, config.json | {weights} weights in binary16, in Hugging Face's GPT-2 layout |
| vocab.json, merges.txt | the byte-level BPE tokenizer; each number from 0 to 361 is one token, with and without a leading blank |
| heldout.txt, calibration.txt | text from the same distribution as the training text |

| prompts "A + B =" and "A x B =", all pairs | correct | of |
|---|---|---|
| sums of 0 to 99 | {sums_right} | {sums} |
| products of 0 to 19 | {products_right} | {products} |

Perplexity of heldout.txt, windows of {context}: {perplexity:.3f}. Training loss, last hundred steps: {loss:.3f} nats per token.
)",
      fmt::arg("layers", r.shape.layers), fmt::arg("width", r.shape.width), fmt::arg("heads", r.shape.heads),
      fmt::arg("context", r.shape.context), fmt::arg("vocabulary", r.shape.vocabulary), fmt::arg("seed", o.seed),
      fmt::arg("steps", o.steps), fmt::arg("rate", o.rate == options{}.rate ? "" : fmt::format(" --rate {}", o.rate)),
      fmt::arg("minutes", done.minutes), fmt::arg("weights", weight_count(r.shape)),
      fmt::arg("sums_right", e.sums_right), fmt::arg("sums", e.sums), fmt::arg("products_right", e.products_right),
      fmt::arg("products", e.products), fmt::arg("perplexity", e.held_out_perplexity), fmt::arg("loss", done.loss));
}

void make_arithmetic_model(const options& o) {
  require_writable(o);
  const train::arithmetic_lesson lesson = train::prepare_arithmetic(o.seed);
  fmt::print("{} tokens of training text in {} lines, vocabulary of {}\n", lesson.training.ids.size(),
             lesson.training.starts.size(), lesson.tokenizer.size());
  const train::recipe recipe = recipe_of(o, train::arithmetic_shape(lesson.tokenizer.size()));
  const outcome done = run(o, recipe, lesson.training);
  const train::arithmetic_exam exam =
      train::examine(engine::transformer(done.weights), lesson, precis::thread_pool{threads_of(o)});
  train::publish(done.weights, lesson, arithmetic_readme(o, recipe, exam, done), o.out);
  fmt::print("sums: {} of {}\nproducts: {} of {}\nheld-out perplexity: {:.4f}\n", exam.sums_right, exam.sums,
             exam.products_right, exam.products, exam.held_out_perplexity);
  finish(o, done);
}

}  // namespace

/// Exit codes: 0 success, 2 bad input or usage, 1 any other failure.
int main(int argc, char** argv) {
  CLI::App app{"precis_train trains the small models that ship with precis.", "precis_train"};
  app.require_subcommand(1);
  options o;
  CLI::App* world = app.add_subcommand(
      "world",
      "Invents a world of facts, learns a tokenizer, trains a GPT-2 on sentences about it, and writes the model\n"
      "folder with texts and questions for its evaluation. Takes five to ten minutes on two cores.");
  CLI::App* arithmetic = app.add_subcommand(
      "arithmetic",
      "Trains a GPT-2 briefly on sums, products and other small tasks, and writes the model folder. Takes five\n"
      "minutes on two cores.");
  for (CLI::App* c : {world, arithmetic}) {
    c->add_option("--out", o.out, "Folder to write; a model folder of that name is replaced")->required();
    c->add_option("--seed", o.seed, "Seed of the text and of every random number in the training")
        ->capture_default_str();
    c->add_option("--steps", o.steps, "Training steps of 16 x 64 tokens")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    c->add_option("--rate", o.rate, "Highest learning rate")->capture_default_str()->check(CLI::PositiveNumber);
    c->add_option("--threads", o.threads, "0: one per processor; the result does not depend on the number")
        ->capture_default_str();
    c->add_option("--checkpoint", o.checkpoint, "File for unfinished work (default: FOLDER.checkpoint)");
    c->add_option("--checkpoint-every", o.save_every, "Steps between checkpoints, 0: none")->capture_default_str();
    c->add_flag("--resume", o.resume, "Continues from the checkpoint of the same command");
  }
  try {
    app.parse(argc, argv);
    if (world->parsed())
      make_world_model(o);
    else
      make_arithmetic_model(o);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const precis::error& e) {
    fmt::print(stderr, "precis_train: {}\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "precis_train: {}\n", e.what());
    return 1;
  }
  return 0;
}
