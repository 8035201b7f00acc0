#include "jobs/checkpoint.hpp"

#include "jobs/output.hpp"
#include "jobs/signals.hpp"

#include <engine/files/json.hpp>

#include <precis/core/error.hpp>
#include <precis/core/random.hpp>
#include <precis/core/text.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <list>
#include <map>
#include <mutex>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace program {

namespace fs = std::filesystem;

namespace {

/// The first folder for state that exists or can be made, and can be written to; empty: none.
[[nodiscard]] fs::path cache_folder() {
  std::vector<fs::path> folders;
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && fs::path(xdg).is_absolute())
    folders.push_back(fs::path(xdg) / "precis");
  if (const char* home = std::getenv("HOME"); home != nullptr && fs::path(home).is_absolute())
    folders.push_back(fs::path(home) / ".cache" / "precis");
  std::error_code failed;
  if (const fs::path temporary = fs::temp_directory_path(failed); !failed)
    folders.push_back(temporary / fmt::format("precis-{}", getuid()));
  for (const fs::path& folder : folders) {
    fs::create_directories(folder, failed);
    if (!failed && access(folder.c_str(), W_OK | X_OK) == 0) return folder;
  }
  return {};
}

/// The job with the size and a hash of every file that it names: the same name may hold other data on the next run.
engine::json with_contents(engine::json job) {
  engine::json files = engine::json::object();
  const engine::json values = job.flatten();
  for (const auto& [key, value] : values.items()) {
    std::error_code ignored;
    if (!value.is_string() || !fs::is_regular_file(value.get<std::string>(), ignored)) continue;
    std::ifstream file(value.get<std::string>(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    files[key] = fmt::format("{} bytes, {:016x}", bytes.size(), precis::purpose(bytes));
  }
  if (!files.empty()) job["contents"] = files;
  return job;
}

}  // namespace

std::string difference(const engine::json& saved, const engine::json& job) {
  if (!saved.is_object()) return {};
  const engine::json before = saved.flatten(), now = job.flatten();
  for (const auto& [key, value] : now.items())
    if (!before.contains(key) || before.at(key) != value)
      return fmt::format(": {} is {} there and {} here", key.substr(1),
                         before.contains(key) ? before.at(key).dump() : "not given", value.dump());
  for (const auto& [key, value] : before.items())
    if (!now.contains(key)) return fmt::format(": {} is {} there and not given here", key.substr(1), value.dump());
  return {};
}

std::optional<shard> parse_shard(std::string_view text) {
  const std::size_t slash = text.find('/');
  std::size_t number = 0, of = 0;
  if (slash == std::string_view::npos || !precis::text::read(text.substr(0, slash), number) ||
      !precis::text::read(text.substr(slash + 1), of) || number < 1 || number > of)
    return std::nullopt;
  return shard{.number = number - 1, .of = of};
}
std::string to_string(const shard& s) { return fmt::format("{}/{}", s.number + 1, s.of); }

fs::path partial_file(const resume_options& o, const fs::path& beside, const engine::json& job) {
  if (!o.partial.empty()) return o.partial;
  if (!beside.empty()) return beside;
  const fs::path folder = cache_folder();
  if (folder.empty()) return {};
  return folder /
         fmt::format("{}-{:016x}.partial", job.at("command").get<std::string>(), precis::purpose(in_utf8(job).dump()));
}

/// The file is locked while it is open, so that a second run of the same job does not overwrite it.
struct checkpoint::contents {
  std::map<std::string, engine::json> pieces;
  int descriptor = -1;
  std::mutex mutex;
  const char* words_before = nullptr;  // what say_if_ended returned

  contents() = default;
  contents(const contents&) = delete;
  contents& operator=(const contents&) = delete;
  ~contents() {
    if (descriptor >= 0) ::close(descriptor);
  }
  /// Opens and locks the file. Returns why it cannot, or "".
  [[nodiscard]] std::string open(const fs::path& file, bool create) {
    descriptor = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | (create ? O_CREAT : 0), 0666);
    if (descriptor < 0) return "cannot be written (" + std::generic_category().message(errno) + ")";
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return {};  // some systems have no locks
    ::close(std::exchange(descriptor, -1));
    return "is in use by another run of the same command";
  }
  [[nodiscard]] bool write(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t written = ::write(descriptor, text.data(), text.size());
      if (written < 0 && errno != EINTR) return false;
      text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
    return true;
  }
};

checkpoint::checkpoint(fs::path file, const engine::json& named, const resume_options& o)
    : file_(std::move(file)),
      options_(o),
      shard_(parse_shard(o.shard).value_or(shard{})),
      contents_(std::make_unique<contents>()) {
  engine::json job = with_contents(in_utf8(named));
  job["version"] = PRECIS_VERSION;
  if (!shard_.whole()) job["shard"] = to_string(shard_);
  std::string fault = file_.empty() ? "no folder for them can be written" : contents_->open(file_, !o.resume);
  if (o.resume) {
    std::ifstream in(file_);
    if (file_.empty() || !in)
      precis::refuse({.what = "there is nothing to resume",
                      .where = file_.empty() ? "--resume" : file_.string(),
                      .expected = "the partial results of a stopped run; run without --resume to start"});
    std::string line;
    bool first = true;
    std::size_t whole = 0;  // bytes of complete lines
    while (std::getline(in, line) && !in.eof()) {
      const engine::json entry = engine::json::parse(line, nullptr, false);
      if (first && (entry.is_discarded() || entry != job))
        precis::refuse({.what = "these are the partial results of another job" + difference(entry, job),
                        .where = file_.string(),
                        .expected = "the same model, data and options; run without --resume to start over"});
      if (!first) {
        if (!entry.is_object() || !entry.contains("key") || !entry.contains("value") || !entry["key"].is_string())
          break;
        contents_->pieces[entry["key"].get<std::string>()] = entry["value"];
      }
      first = false;
      whole += line.size() + 1;
    }
    if (first)
      precis::refuse({.what = "the file is empty",
                      .where = file_.string(),
                      .expected = "partial results; run without --resume to start over"});
    if (fault.empty() && ::ftruncate(contents_->descriptor, static_cast<off_t>(whole)) != 0)
      fault = "cannot be written (" + std::generic_category().message(errno) + ")";
  } else if (fault.empty() && (::ftruncate(contents_->descriptor, 0) != 0 || !contents_->write(job.dump() + "\n"))) {
    fault = "cannot be written (" + std::generic_category().message(errno) + ")";
  }
  if (fault.empty()) {
    static std::list<std::string> words;  // a signal handler reads them, at any time
    contents_->words_before = say_if_ended(words.emplace_back("precis: " + stopped_message()).c_str());
    return;
  }
  if (o.resume || !o.partial.empty() || !shard_.whole())
    precis::refuse({.what = fault,
                    .where = file_.string(),
                    .expected = "a file for the partial results of this run alone, in a folder with write permission "
                                "(see --partial)"});
  fmt::print(stderr, "precis: cannot write partial results{}; a stopped run will have to start over (see --partial)\n",
             file_.empty() ? "" : " to " + file_.string() + ", which " + fault);
  file_.clear();
}

/// After a signal, what the user should know is said when the program ends.
checkpoint::~checkpoint() {
  if (!file_.empty() && !interrupted()) say_if_ended(contents_->words_before);
}

const engine::json* checkpoint::find(const std::string& key) const {
  const auto at = contents_->pieces.find(key);
  return at == contents_->pieces.end() ? nullptr : &at->second;
}

std::size_t checkpoint::size() const noexcept { return contents_->pieces.size(); }

void checkpoint::record(const std::string& key, const engine::json& piece) {
  const std::lock_guard lock(contents_->mutex);
  if (file_.empty()) return;
  if (contents_->write(in_utf8({{"key", key}, {"value", piece}}).dump() + "\n")) return;
  fmt::print(stderr,
             "precis: partial results cannot be written to {} any more; a stopped run will have to start over\n",
             file_.string());
  forget();
}

bool checkpoint::elsewhere(std::size_t cell) const noexcept { return !shard_.has(cell); }

void checkpoint::finish_part(std::size_t cells, const std::string& part) {
  if (shard_.whole()) return;
  if (file_.empty())
    precis::refuse({.what = "not all cells could be written",
                    .where = part,
                    .expected = "room for them on the device; run the same command with --resume to continue"});
  const engine::json end{
      {"cells", cells}, {"arguments", *options_.arguments}, {"merged_option", options_.merged_option}};
  record(std::string(part_end), end);
  std::error_code failed;
  if (!file_.empty()) fs::rename(file_, part, failed);
  if (file_.empty() || failed)
    precis::refuse({.what = "cannot be written" + (failed ? " (" + failed.message() + ")" : std::string()),
                    .where = part,
                    .expected = "a file beside the partial results; run the same command with --resume to try again"});
  forget();
  fmt::print("wrote  {}: part {} of {} cells; `precis merge` puts all parts together\n", part, to_string(shard_),
             cells);
  flush_report();
  throw part_written{};
}

void checkpoint::finish() {
  flush_report();
  if (file_.empty()) return;
  std::error_code ignored;
  fs::remove(file_, ignored);
  forget();
}

void checkpoint::forget() noexcept {
  say_if_ended(contents_->words_before);
  file_.clear();
}

std::string checkpoint::stopped_message() const {
  if (file_.empty()) return "stopped; partial results were not kept\n";
  return fmt::format("stopped; partial results are in {}: run the same command with --resume to continue\n",
                     file_.string());
}

}  // namespace program
