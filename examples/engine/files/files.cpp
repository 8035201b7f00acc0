#include <engine/files/files.hpp>

#include <precis/core/error.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

[[nodiscard]] std::string reason(int code) { return std::generic_category().message(code); }

/// A name in the folder of `target` that no other process or thread uses.
[[nodiscard]] fs::path beside(const fs::path& target, std::string_view purpose) {
  static std::atomic<unsigned> count{0};
  fs::path name = target.filename();
  name += "." + std::string(purpose) + "-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
  return target.parent_path() / name;
}

/// The files that a model folder of this program may hold.
constexpr const char* model_files[] = {"config.json",
                                       "generation_config.json",
                                       "model.safetensors",
                                       "model.plan",
                                       "tokenizer.bin",
                                       "tokenizer.json",
                                       "tokenizer.model",
                                       "tokenizer_config.json",
                                       "vocab.json",
                                       "merges.txt",
                                       "vocab.txt",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "README.md",
                                       "facts.json",
                                       "heldout.txt",
                                       "calibration.txt",
                                       "chat_template.jinja",
                                       "chat_template.json",
                                       "spiece.model",
                                       "sentencepiece.bpe.model"};

/// Whether a folder entry is such a file.
[[nodiscard]] bool is_model_file(const fs::directory_entry& entry) {
  std::error_code ignored;
  return entry.is_regular_file(ignored) && !entry.is_symlink(ignored) &&
         std::ranges::find(model_files, entry.path().filename().string()) != std::end(model_files);
}

/// The temporaries that exist, for remove_temporaries: a signal handler may not lock or allocate, so their number is
/// fixed. One that finds no place is removed by its destructor alone. Paths do not move while they are here.
std::array<std::atomic<const char*>, 64> temporaries{};
std::atomic<bool> ending{false};

void remember(const fs::path& temporary) noexcept {
  for (std::atomic<const char*>& place : temporaries)
    if (const char* free = nullptr; place.compare_exchange_strong(free, temporary.c_str())) return;
}
void forget(const fs::path& temporary) noexcept {
  for (std::atomic<const char*>& place : temporaries)
    if (const char* mine = temporary.c_str(); place.compare_exchange_strong(mine, nullptr)) return;
  while (ending) ::pause();  // remove_temporaries has taken the path and reads it
}

/// Signals wait while one of these exists.
class signals_wait {
 public:
  signals_wait() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  signals_wait(const signals_wait&) = delete;
  signals_wait& operator=(const signals_wait&) = delete;
  ~signals_wait() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

/// A path without a trailing slash: "out/" and "out" are the same target.
[[nodiscard]] fs::path trimmed(fs::path target) { return target.has_filename() ? target : target.parent_path(); }

/// The file that is replaced when `target` is written: what a symbolic link points to. Refuses what a file cannot replace.
[[nodiscard]] fs::path written_through(fs::path target) {
  const fs::path named = target;
  const auto bad = [&](const std::string& what) {
    precis::refuse({.what = what, .where = named.string(), .expected = "the name of a file to write"});
  };
  std::error_code ignored;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, ignored)); ++links) {
    if (links == 40) bad("is a symbolic link to itself");
    const fs::path pointee = fs::read_symlink(target, ignored);
    target = pointee.is_absolute() ? pointee : target.parent_path() / pointee;
    const std::string text = target.lexically_normal().string();
    if (text.starts_with("/proc/") || text.starts_with("/dev/")) bad("is an open stream, not a file");  // /dev/stdout
  }
  switch (fs::status(target, ignored).type()) {
    case fs::file_type::directory: bad("is a folder"); break;
    case fs::file_type::block:
    case fs::file_type::character: bad("is a device"); break;
    case fs::file_type::fifo: bad("is a pipe"); break;
    case fs::file_type::socket: bad("is a socket"); break;
    default: break;
  }
  if (!target.has_filename()) bad("is a folder");
  return target;
}

/// Makes a rename in `folder` durable. File systems that do not support this are ignored.
void flush_folder(const fs::path& folder) noexcept {
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

mapped_file::mapped_file(const fs::path& path) {
  const auto bad = [&](const std::string& what) {
    precis::refuse({.what = what, .where = path.string(), .expected = "a readable file that is not empty"});
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait for a writer
  if (descriptor < 0) bad("cannot be opened (" + reason(errno) + ")");
  struct stat status{};
  const bool known = ::fstat(descriptor, &status) == 0;
  void* memory = MAP_FAILED;
  int fault = errno;
  if (known && S_ISREG(status.st_mode) && status.st_size > 0) {
    memory = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0);
    fault = errno;
  }
  ::close(descriptor);  // the mapping outlives its descriptor
  if (!known) bad("cannot be examined (" + reason(fault) + ")");
  if (S_ISDIR(status.st_mode)) bad("is a folder");
  if (!S_ISREG(status.st_mode)) bad("is not a regular file");
  if (status.st_size == 0) bad("is empty");
  if (memory == MAP_FAILED) bad("cannot be mapped (" + reason(fault) + ")");
  bytes_ = {static_cast<const std::byte*>(memory), static_cast<std::size_t>(status.st_size)};
  if (text().starts_with("version https://git-lfs.github.com/spec/")) {
    ::munmap(memory, bytes_.size());
    precis::refuse({.what = "is a Git LFS pointer, not the file that it stands for",
                    .where = path.string(),
                    .expected = "the file itself: run `git lfs pull` in its repository, or download it"});
  }
}

mapped_file::mapped_file(mapped_file&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

mapped_file& mapped_file::operator=(mapped_file&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

mapped_file::~mapped_file() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

atomic_file::atomic_file(fs::path target)
    : target_(written_through(std::move(target))), temporary_(beside(target_, "partial")) {
  remember(temporary_);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ >= 0) return;
  const int fault = errno;
  forget(temporary_);
  precis::refuse({.what = "cannot be written (" + reason(fault) + ")",
                  .where = target_.string(),
                  .expected = "an existing, writable folder"});
}

atomic_file::~atomic_file() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (temporary_.empty()) return;
  ::unlink(temporary_.c_str());
  forget(temporary_);
}

void atomic_file::fail(const std::string& doing) const {
  precis::refuse({.what = doing + " failed (" + reason(errno) + "); nothing was changed",
                  .where = target_.string(),
                  .expected = "enough free space and a writable folder"});
}

void atomic_file::write(std::span<const std::byte> bytes) {
  PRECIS_EXPECTS(descriptor_ >= 0, "no write after commit");
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), std::min<std::size_t>(bytes.size(), 1u << 30));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("writing");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void atomic_file::commit() {
  PRECIS_EXPECTS(descriptor_ >= 0, "commit is called only once");
  if (::fsync(descriptor_) != 0 && errno != EINVAL)
    fail("flushing");  // EINVAL: the file cannot be flushed, such as a pipe
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("closing");
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("renaming");
  forget(temporary_);
  temporary_.clear();
  flush_folder(target_.parent_path());
}

atomic_folder::atomic_folder(fs::path target, existing rule)
    : target_(trimmed(std::move(target))), temporary_(beside(target_, "partial")), rule_(rule) {
  std::error_code fault;
  if (fs::exists(fs::symlink_status(target_, fault))) {
    const auto bad = [&](const std::string& what, const std::string& expected) {
      precis::refuse({.what = what, .where = target_.string(), .expected = expected});
    };
    if (rule_ == existing::refuse) bad("already exists", "the name of a folder to create");
    if (!fs::is_directory(fs::symlink_status(target_, fault))) bad("exists and is not a folder", "a folder to replace");
    for (const fs::directory_entry& entry : fs::directory_iterator(target_, fault))
      if (!is_model_file(entry))
        bad("contains " + entry.path().filename().string() + ", which would be deleted with it",
            "an empty folder, or one that holds nothing but the files of a model");
  }
  remember(temporary_);
  if (fs::create_directory(temporary_, fault)) return;
  forget(temporary_);
  precis::refuse({.what = "cannot be created (" + fault.message() + ")",
                  .where = target_.string(),
                  .expected = "an existing, writable parent folder"});
}

atomic_folder::~atomic_folder() {
  std::error_code ignored;
  if (temporary_.empty()) return;
  fs::remove_all(temporary_, ignored);
  forget(temporary_);
}

void atomic_folder::commit() {
  const auto fail = [&](const std::error_code& fault) {
    precis::refuse({.what = "cannot be put in place (" + fault.message() + "); nothing was changed",
                    .where = target_.string(),
                    .expected = "a folder that no other process is writing"});
  };
  const signals_wait both_renames;
  std::error_code fault;
  fs::path old;
  if (rule_ == existing::replace && fs::exists(target_, fault)) {
    old = beside(target_, "old");
    fs::rename(target_, old, fault);
    if (fault) fail(fault);
  }
  fs::rename(temporary_, target_, fault);
  if (fault) {
    std::error_code ignored;
    if (!old.empty()) fs::rename(old, target_, ignored);
    fail(fault);
  }
  forget(temporary_);
  temporary_.clear();
  flush_folder(target_.parent_path());
  if (!old.empty())
    fs::remove_all(old, fault);  // the new folder is in place; failing to remove the old one is harmless
}

void remove_temporaries() noexcept {
  ending = true;
  std::array<const char*, std::tuple_size_v<decltype(temporaries)>> folders{};
  for (std::size_t i = 0; i < folders.size(); ++i)
    if (const char* path = temporaries[i].exchange(nullptr); path != nullptr && ::unlink(path) != 0) folders[i] = path;
  for (const char* const path : folders) {
    if (path == nullptr) continue;
    const int folder = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) continue;
    for (const char* const file : model_files) ::unlinkat(folder, file, 0);
    ::close(folder);
    ::rmdir(path);
  }
}

void write_file(const fs::path& target, std::string_view text) {
  atomic_file file(target);
  file.write(text);
  file.commit();
}

}  // namespace engine
