#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/calibration.hpp"
#include "jobs/output.hpp"

#include <engine/files/json.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace program {
namespace {

struct calibrate_command {
  model_options model;
  std::string out = "model.calibration", imatrix, add;
  text_options text{.file = {}, .length = 0, .windows = 160};
  std::size_t gradients = 32;
  run_options common;
};

exit_status run(const calibrate_command& o) {
  require_writable({o.out, o.imatrix, o.common.json});
  const auto began = std::chrono::steady_clock::now();
  const session s = open_and_print(o.model);
  const text_windows text = read_and_print(s, o.text);
  calibration c = calibrate(s, text, o.gradients, o.common);
  if (!o.add.empty()) {
    calibration before = read_calibration(o.add, s.fingerprint, s.model.matrices());
    merge(before, c, o.add);
    c = std::move(before);
  }
  write_calibration(c, s.model.matrices(), o.out);
  if (!o.imatrix.empty()) engine::write_imatrix(importance_of(c, s), o.imatrix);
  fmt::print("wrote  {}: {} inputs, {} tokens ({})\n", o.out, c.inputs.size(), c.tokens(),
             duration(seconds_since(began)));
  write_json(o.common.json, {{"command", "calibrate"},
                             {"model", s.name},
                             {"fingerprint", s.fingerprint},
                             {"out", o.out},
                             {"inputs", c.inputs.size()},
                             {"tokens", c.tokens()},
                             {"texts", c.texts},
                             {"seconds", seconds_since(began)}});
  return exit_status::done;
}

}  // namespace

void add_calibrate(command_line& line) {
  auto o = std::make_shared<calibrate_command>();
  subcommand c =
      line.add("calibrate", "gather the statistics of every input on a text, for rounding that knows the data");
  c.footer(
      "Examples:\n"
      "  precis calibrate MODEL --text calibration.txt --windows 160 --out model.calibration\n"
      "  precis calibrate MODEL --text code.txt --add model.calibration --out both.calibration\n"
      "  precis cost MODEL --calibration model.calibration --formats gguf --fit gptq --out model.costs\n"
      "The file holds a Gram matrix per input, which takes 4 bytes times the square of its width, the gradients at "
      "the\n"
      "outputs, and the tokens. Text like the one that the model will read matters more than its amount.");
  add_model(c, o->model);
  add_special_tokens(c, o->model);
  add_tables(c, o->model);
  add_text(c, o->text, "calibration text", true);
  c.add("--gradients", o->gradients,
        "windows that also run backward, for costs in nats; 0: none, and costs are relative output errors")
      .shows_default();
  c.add("--add", o->add, "calibration of the same model on another text, to which this text is added").reads();
  c.add("--out", o->out, "calibration to write").shows_default().writes();
  c.add("--imatrix", o->imatrix, "also write llama.cpp's importance matrix: GGUF, or the older form for .dat").writes();
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
