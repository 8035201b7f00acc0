#pragma once

#include <engine/files/json.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>

namespace program {

/// What a long job has finished so far, on disk, so that a stopped one can go on.
///
/// A text file of JSON lines: the first says which job it is (model, data, options), every other is one finished piece.
/// Pieces are appended as they finish; a line that was cut off when the program died is ignored. `finish` removes it.
class checkpoint {
 public:
  /// With `resume`, reads what is there. Errors: `resume` without a file, a file of another job, a file that cannot be
  /// written. Without `resume` an old file is started over.
  checkpoint(std::filesystem::path file, engine::json job, bool resume);

  /// The piece called `key`, or nullptr.
  [[nodiscard]] const engine::json* find(const std::string& key) const;
  [[nodiscard]] std::size_t size() const noexcept { return pieces_.size(); }
  /// Saves a piece. May be called from several threads.
  void record(const std::string& key, const engine::json& piece);
  /// The job is done: removes the file.
  void finish();

  [[nodiscard]] const std::filesystem::path& file() const noexcept { return file_; }

 private:
  std::filesystem::path file_;
  std::map<std::string, engine::json> pieces_;
  std::ofstream out_;
  std::mutex mutex_;
};

}  // namespace program
