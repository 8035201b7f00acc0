#pragma once

#include "commands/command_line.hpp"

#include "jobs/checkpoint.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"
#include "jobs/text_windows.hpp"
#include "jobs/verdicts.hpp"

#include <cstddef>
#include <functional>
#include <string>

/// Options that several subcommands share, and the lines that they print about their inputs.
namespace program {

/// MODEL and --tokenizer.
void add_model(subcommand& c, model_options& o);
/// --allow-requantize, for a command that chooses formats: without it, a model that is quantized already is refused.
void add_requantize(subcommand& c, model_options& o);
/// --special-tokens.
option add_special_tokens(subcommand& c, model_options& o);
/// The largest number of threads that an option takes: a system refuses more one by one.
inline constexpr std::size_t most_threads = 1024;
/// --json, --threads and --quiet.
void add_common(subcommand& c, run_options& o);
/// --fit.
option add_fit(subcommand& c, run_options& o, bool with_data = false, bool with_tuning = false);
/// --resume and --partial, which are refused where nothing would be kept; `when` says, for the message, with what they go.
void add_resume(subcommand& c, resume_options& o, std::function<bool()> applies = {}, const std::string& when = {});
/// --shard, for a job whose cells several processes can compute.
option add_shard(subcommand& c, resume_options& o);
/// --text, --context and --windows.
option add_text(subcommand& c, text_options& o, const std::string& help, bool required);
/// --verdict-tokens, which is refused where it would be ignored.
void add_verdict_prompt(subcommand& c, verdict_prompt& o, std::function<bool()> with_verdicts);
/// --tables.
void add_tables(subcommand& c, model_options& o);
/// An option that takes block, half or matrix.
option add_units(subcommand& c, const std::string& name, std::string& value, const std::string& help);
/// --entries.
option add_entries(subcommand& c, std::string& value, const std::string& help = "comma-separated formats");
/// --budget.
option add_budget(subcommand& c, std::string& value, const std::string& more = {});

/// Opens a model and prints a line about it.
[[nodiscard]] session open_and_print(const model_options& o);
/// Reads the windows of a text and prints a line about them.
[[nodiscard]] text_windows read_and_print(const session& s, const text_options& o);
/// Prints where the partial results of a stopped job are.
[[nodiscard]] exit_status stop(const checkpoint& saved);

}  // namespace program
