#include "checkpoint.hpp"

#include <precis/core/error.hpp>

#include <string>
#include <system_error>

namespace program {

checkpoint::checkpoint(std::filesystem::path file, engine::json job, bool resume) : file_(std::move(file)) {
  if (resume) {
    std::ifstream in(file_);
    if (!in)
      precis::refuse({.what = "there is nothing to resume",
                      .where = file_.string(),
                      .expected = "the partial results of a run that was stopped; run without --resume to start"});
    std::string line;
    bool first = true;
    std::size_t whole = 0;  // bytes of lines that are complete
    while (std::getline(in, line) && !in.eof()) {
      const engine::json entry = engine::json::parse(line, nullptr, false);
      if (first && (entry.is_discarded() || entry != job))
        precis::refuse({.what = "these partial results are of another job",
                        .where = file_.string(),
                        .expected = "the same model, data and options; run without --resume to start over"});
      if (!first) {
        if (!entry.is_object() || !entry.contains("key") || !entry.contains("value") || !entry["key"].is_string())
          break;
        pieces_[entry["key"].get<std::string>()] = entry["value"];
      }
      first = false;
      whole += line.size() + 1;
    }
    in.close();
    if (first)
      precis::refuse({.what = "the file is empty",
                      .where = file_.string(),
                      .expected = "partial results; run without --resume to start over"});
    std::error_code ignored;
    std::filesystem::resize_file(file_, whole, ignored);
    out_.open(file_, std::ios::app);
  } else {
    out_.open(file_, std::ios::trunc);
    if (out_) out_ << job.dump() << "\n" << std::flush;
  }
  if (!out_)
    precis::refuse({.what = "cannot be written",
                    .where = file_.string(),
                    .expected = "a folder with write permission for the partial results (see --partial)"});
}

const engine::json* checkpoint::find(const std::string& key) const {
  const auto at = pieces_.find(key);
  return at == pieces_.end() ? nullptr : &at->second;
}

void checkpoint::record(const std::string& key, const engine::json& piece) {
  const std::lock_guard lock(mutex_);
  out_ << engine::json{{"key", key}, {"value", piece}}.dump() << "\n" << std::flush;
}

void checkpoint::finish() {
  out_.close();
  std::error_code ignored;
  std::filesystem::remove(file_, ignored);
}

}  // namespace program
