#include <engine/files/files.hpp>

#include "engine/support.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
namespace fs = std::filesystem;

TEST_CASE("mapped_file gives the bytes of a file and can be moved", "[engine][files]") {
  const temporary_folder folder;
  put(folder / "a", "hello");
  engine::mapped_file a(folder / "a");
  const char* const before = a.text().data();
  const engine::mapped_file b(std::move(a));
  CHECK(b.text() == "hello");
  CHECK(b.text().data() == before);
  CHECK(a.bytes().empty());  // NOLINT(bugprone-use-after-move): specified
}

TEST_CASE("mapped_file refuses files that cannot be mapped, by cause", "[engine][files][refusal]") {
  const temporary_folder folder;
  put(folder / "empty", "");
  CHECK_THAT(refusal([&] { engine::mapped_file f(folder / "empty"); }), ContainsSubstring("empty: is empty; expected"));
  CHECK_THAT(refusal([&] { engine::mapped_file f(folder / "none"); }),
             ContainsSubstring("none: cannot be opened (No such file"));
  CHECK_THAT(refusal([&] { engine::mapped_file f(folder.path()); }), ContainsSubstring("is a folder"));
  CHECK_THAT(refusal([&] { engine::mapped_file f("/dev/null"); }), ContainsSubstring("is not a regular file"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);  // opening it would wait for a writer
  CHECK_THAT(refusal([&] { engine::mapped_file f(folder / "pipe"); }), ContainsSubstring("is not a regular file"));
  put(folder / "pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n");
  CHECK_THAT(refusal([&] { engine::mapped_file f(folder / "pointer"); }),
             ContainsSubstring("pointer: is a Git LFS pointer"));
}

TEST_CASE("the text of a mapped_file begins after a byte order mark", "[engine][files][worked-example]") {
  const temporary_folder folder;
  put(folder / "marked", "\xEF\xBB\xBFtext");
  put(folder / "mark", "\xEF\xBB\xBF");
  CHECK(engine::mapped_file(folder / "marked").text() == "text");
  CHECK(engine::mapped_file(folder / "marked").bytes().size() == 7);
  CHECK(engine::mapped_file(folder / "mark").text().empty());
}

TEST_CASE("atomic_file appears whole at commit and not earlier", "[engine][files]") {
  const temporary_folder folder;
  put(folder / "target", "old");
  {
    engine::atomic_file f(folder / "target");
    f.write("new ");
    f.write("content");
    CHECK(slurp(folder / "target") == "old");
    f.commit();
  }
  CHECK(slurp(folder / "target") == "new content");
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic_file without commit leaves the target unchanged and no other file", "[engine][files]") {
  const temporary_folder folder;
  put(folder / "target", "old");
  {
    engine::atomic_file f(folder / "target");
    f.write("half a fi");
    CHECK(folder.entries() == 2);
  }
  CHECK(slurp(folder / "target") == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic_file refuses targets that it cannot write", "[engine][files][refusal]") {
  const temporary_folder folder;
  put(folder / "file", "x");
  CHECK_THAT(refusal([&] { engine::atomic_file f(folder / "none/target"); }),
             ContainsSubstring("cannot be written (No such file"));
  CHECK_THAT(refusal([&] { engine::atomic_file f(folder / "file/target"); }),
             ContainsSubstring("cannot be written (Not a dir"));
  CHECK_THAT(refusal([&] { engine::atomic_file f(folder.path()); }), ContainsSubstring("is a folder"));
  CHECK_THAT(refusal([&] { engine::atomic_file f(folder / "new/"); }), ContainsSubstring("is a folder"));
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic_file fails cleanly if the target becomes a folder before commit", "[engine][files][refusal]") {
  const temporary_folder folder;
  {
    engine::atomic_file f(folder / "target");
    f.write("x");
    fs::create_directory(folder / "target");
    CHECK_THAT(refusal([&] { f.commit(); }), ContainsSubstring("renaming failed"));
  }
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic_folder appears whole and replaces only model folders", "[engine][files]") {
  const temporary_folder folder;
  {
    engine::atomic_folder f(folder / "out/");
    put(f.path() / "config.json", "{}");
    CHECK_FALSE(fs::exists(folder / "out"));
    f.commit();
  }
  CHECK(slurp(folder / "out/config.json") == "{}");

  using enum engine::atomic_folder::existing;
  CHECK_THAT(refusal([&] { engine::atomic_folder f(folder / "out"); }), ContainsSubstring("already exists"));
  {
    engine::atomic_folder dropped(folder / "out", replace);
    put(dropped.path() / "config.json", "dropped");
  }
  CHECK(slurp(folder / "out/config.json") == "{}");
  {
    engine::atomic_folder f(folder / "out", replace);
    put(f.path() / "config.json", "new");
    f.commit();
  }
  CHECK(slurp(folder / "out/config.json") == "new");
  CHECK(folder.entries() == 1);

  fs::create_directory(folder / "letters");
  put(folder / "letters/dear", "precious");
  CHECK_THAT(refusal([&] { engine::atomic_folder f(folder / "letters", replace); }),
             ContainsSubstring("would be deleted"));
  CHECK_THAT(refusal([&] { engine::atomic_folder f(folder / "none/out"); }),
             ContainsSubstring("cannot be created (No such"));
  CHECK(slurp(folder / "letters/dear") == "precious");
}

TEST_CASE("a program that ends at once removes its temporary files and folders", "[engine][files][property]") {
  const temporary_folder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    engine::atomic_file file(folder / "file");
    file.write("half");
    engine::atomic_folder model(folder / "model");
    engine::write_file(model.path() / "config.json", "{}");
    engine::atomic_file weights(model.path() / "model.safetensors");
    weights.write("half");
    engine::write_file(folder / "done", "whole");
    const bool there = folder.entries() == 3;
    engine::remove_temporaries();
    ::_exit(there ? 7 : 8);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
  CHECK(folder.entries() == 1);
  CHECK(std::filesystem::exists(folder / "done"));
}
