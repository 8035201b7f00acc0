#pragma once

#include <engine/files/json.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace program {

/// The cells of a job that one of several processes computes: --shard 2/3. Cells are what a job finishes one after
/// another: units, windows, facts; cell i is computed by number i mod `of`, counted from 0.
struct shard {
  std::size_t number = 0, of = 0;  ///< of == 0: the whole job

  [[nodiscard]] bool whole() const noexcept { return of == 0; }
  [[nodiscard]] bool has(std::size_t cell) const noexcept { return whole() || cell % of == number; }
  bool operator==(const shard&) const = default;
};
/// From text such as 2/3; nothing if it is anything else.
[[nodiscard]] std::optional<shard> parse_shard(std::string_view text);
[[nodiscard]] std::string to_string(const shard& s);

/// Where a long job saves its finished pieces.
struct resume_options {
  std::string partial;  ///< file; empty: see partial_file
  bool resume = false;
  std::string shard = {};                               ///< text for parse_shard; empty: the whole job
  const std::vector<std::string>* arguments = nullptr;  ///< the command line, which `precis merge` runs again
  std::string merged_option = "--out";                  ///< the option that names the result then
};

/// Thrown when a shard has written its part, because there is nothing else to do.
struct part_written {};

/// The file for the partial results of `job`, a JSON object whose key "command" names the subcommand.
///
/// It is --partial if given; else `beside`, the output's own file; else, where a job names no output, a file in
/// $XDG_CACHE_HOME/precis, ~/.cache/precis or the temporary folder (the first that can be written to), named after the
/// subcommand and a fingerprint of the job. Empty if there is no such folder.
[[nodiscard]] std::filesystem::path partial_file(const resume_options& o, const std::filesystem::path& beside,
                                                 const engine::json& job);

/// Where two jobs differ, as words to append; "" if the first is no job.
[[nodiscard]] std::string difference(const engine::json& saved, const engine::json& job);
/// The key of the last line of a part.
inline constexpr std::string_view part_end = "end of the part";

/// The finished pieces of a long job, kept on disk so that a stopped run can be resumed.
///
/// A text file of JSON lines: the first describes the job (model, data, options), every other line is one finished
/// piece. Pieces are appended as they finish; a line that was cut off when the program died is ignored. `finish`
/// removes the file. The file is locked meanwhile: a second run of the same job keeps no partial results.
class checkpoint {
 public:
  /// With --resume, reads the existing pieces; without it, starts a new file. If the file cannot be written, or another
  /// run is writing it, and neither --resume nor --partial is given, prints one warning and keeps nothing.
  /// Errors: --resume without a file, or with the file of another job; a --partial file that cannot be written.
  checkpoint(std::filesystem::path file, const engine::json& job, const resume_options& o);
  checkpoint(const checkpoint&) = delete;
  checkpoint& operator=(const checkpoint&) = delete;
  ~checkpoint();

  /// The piece called `key`, or nullptr.
  [[nodiscard]] const engine::json* find(const std::string& key) const;
  [[nodiscard]] std::size_t size() const noexcept;
  /// Saves a piece. May be called from several threads.
  void record(const std::string& key, const engine::json& piece);
  /// Whether another shard computes a cell. Cells count from 0 in the order of the job.
  [[nodiscard]] bool elsewhere(std::size_t cell) const noexcept;
  /// Of a shard: makes the file a part for `precis merge`, called `part`, and throws part_written. Otherwise does
  /// nothing. `cells`: of the whole job.
  void finish_part(std::size_t cells, const std::string& part);
  /// Removes the file, because the job is done. Errors: those of flush_report, and then the file is kept.
  void finish();

  /// The path of the file; empty if nothing is kept.
  [[nodiscard]] const std::filesystem::path& file() const noexcept { return file_; }
  /// The message to the user after the job was stopped: where its results are and how to resume.
  [[nodiscard]] std::string stopped_message() const;

 private:
  struct contents;
  void forget() noexcept;

  std::filesystem::path file_;
  resume_options options_;
  shard shard_;
  std::unique_ptr<contents> contents_;
};

}  // namespace program
