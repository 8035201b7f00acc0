#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/inspection.hpp"
#include "jobs/output.hpp"
#include "jobs/session.hpp"

#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>
#include <string>

namespace program {
namespace {

struct inspect_command {
  std::string path, json;
  bool tensors = false;
};

[[nodiscard]] double bits_per_weight(std::size_t bytes, std::size_t elements) {
  return elements == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
}

[[nodiscard]] std::string sizes(const std::vector<std::size_t>& shape) {
  std::string text;
  for (const std::size_t e : shape) text += (text.empty() ? "" : "x") + std::to_string(e);
  return text;
}

/// A value on one line, cut if it is long.
[[nodiscard]] std::string on_a_line(const engine::json& value) {
  constexpr std::size_t most = 120;
  std::string text = value.dump(-1, ' ', false, engine::json::error_handler_t::replace);
  if (text.size() > most) text = text.substr(0, most) + " ...";
  return precis::printable(text, 4 * most);
}

void print(const inspection& found, const inspect_command& o) {
  fmt::print("kind          {}\n", found.kind);
  fmt::print("architecture  {}\n",
             found.architecture.empty() ? "not stated" : precis::printable(found.architecture, 100));
  std::size_t bytes = 0, weights = 0;
  for (const inspected_tensor& t : found.tensors) {
    bytes += t.bytes;
    weights += t.elements();
  }
  fmt::print("tensors       {}: {} weights in {} bytes, {:.3f} bits per weight\n", found.tensors.size(), weights, bytes,
             bits_per_weight(bytes, weights));
  fmt::print("tokenizer     {}\n", found.tokenizer.empty() ? "none" : precis::printable(found.tokenizer, 400));
  fmt::print("runs here     {}\n",
             found.cannot_run.empty() ? "yes" : "no: " + precis::printable(found.cannot_run, 1000));
  for (const auto& [name, size] : found.files)
    fmt::print("file          {:>12}  {}\n", size, precis::printable(name, 200));
  fmt::print("\n{:<20}  {:>7}  {:>12}  {:>12}  {:>8}\n", "type", "tensors", "weights", "bytes", "bits");
  for (const inspected_type& t : found.types())
    fmt::print("{:<20}  {:>7}  {:>12}  {:>12}  {:>8.3f}\n", precis::printable(t.type, 60), t.tensors, t.elements,
               t.bytes, bits_per_weight(t.bytes, t.elements));
  if (o.tensors) {
    std::size_t widest = 6;
    for (const inspected_tensor& t : found.tensors) widest = std::max(widest, t.name.size());
    fmt::print("\n{:<{}}  {:<12}  {:>16}  {:>12}\n", "tensor", widest, "type", "shape", "bytes");
    for (const inspected_tensor& t : found.tensors)
      fmt::print("{:<{}}  {:<12}  {:>16}  {:>12}\n", precis::printable(t.name, 300), widest, t.type, sizes(t.shape),
                 t.bytes);
  }
  fmt::print("\n");
  for (const auto& [key, value] : found.metadata.items())
    if (value.is_object() && !value.contains("count"))
      for (const auto& [inner, v] : value.items())
        fmt::print("{}: {} = {}\n", precis::printable(key, 100), precis::printable(inner, 200), on_a_line(v));
    else
      fmt::print("{} = {}\n", precis::printable(key, 200), on_a_line(value));
}

exit_status run(const inspect_command& o) {
  require_writable({o.json});
  const inspection found = inspect(o.path);
  print(found, o);
  show_warnings(found.warnings);
  engine::json types = engine::json::array(), tensors = engine::json::array(), files = engine::json::array();
  for (const inspected_type& t : found.types())
    types.push_back({{"type", t.type}, {"tensors", t.tensors}, {"weights", t.elements}, {"bytes", t.bytes}});
  for (const inspected_tensor& t : found.tensors)
    tensors.push_back({{"name", t.name}, {"type", t.type}, {"shape", t.shape}, {"bytes", t.bytes}, {"file", t.file}});
  for (const auto& [name, bytes] : found.files) files.push_back({{"name", name}, {"bytes", bytes}});
  write_json(o.json, {{"command", "inspect"},
                      {"kind", found.kind},
                      {"architecture", found.architecture},
                      {"files", files},
                      {"tokenizer", found.tokenizer},
                      {"runs", found.cannot_run.empty()},
                      {"cannot_run", found.cannot_run},
                      {"warnings", found.warnings},
                      {"types", types},
                      {"tensors", tensors},
                      {"metadata", found.metadata}});
  return exit_status::done;
}

}  // namespace

void add_inspect(command_line& line) {
  auto o = std::make_shared<inspect_command>();
  subcommand c = line.add("inspect", "show what a model's files hold: architecture, types, sizes, tokenizer, metadata");
  c.footer(
      "Examples:\n"
      "  precis inspect model-Q4_K_M.gguf\n"
      "  precis inspect FOLDER --tensors --json folder.json\n"
      "Only headers are read. The model may be one that this program cannot run; the report says why.");
  c.add("FILE_OR_FOLDER", o->path,
        "a GGUF file (any file of a split one), a model folder, a .safetensors or a .bin file")
      .required()
      .reads();
  c.add_flag("--tensors", o->tensors, "list every tensor");
  c.add("--json", o->json, "write the result as JSON to this file, with every tensor").writes();
  c.runs([o] { return run(*o); });
}

}  // namespace program
