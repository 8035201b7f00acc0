#include "commands/version.hpp"

#include <fmt/format.h>
#include <CLI/Version.hpp>
#include <Eigen/Core>
#include <nlohmann/json.hpp>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

namespace program {

namespace {

[[nodiscard]] std::string compiler() {
#if defined(__clang__)
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

/// What the compiler was allowed to use for all of the program.
[[nodiscard]] const char* instructions() {
#if defined(__AVX512BW__)
  return "x86-64 with AVX-512";
#elif defined(__AVX2__) && defined(__FMA__)
  return "x86-64 with AVX2";
#elif defined(__x86_64__)
  return "x86-64";
#elif defined(__aarch64__)
  return "64-bit ARM";
#else
  return "another processor";
#endif
}

}  // namespace

std::string version_text() {
  char pcre2[64] = {};  // "10.42 2022-12-11"
  pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
  const std::string pattern = std::string(pcre2).substr(0, std::string(pcre2).find(' '));
  return fmt::format(
      "precis {}\nbuilt by {} for {}, with CLI11 {}, Eigen {}.{}.{}, fmt {}.{}.{}, nlohmann-json {}.{}.{}, PCRE2 {} "
      "and utf8proc {}",
      PRECIS_VERSION, compiler(), instructions(), CLI11_VERSION, EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION,
      EIGEN_MINOR_VERSION, FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100, NLOHMANN_JSON_VERSION_MAJOR,
      NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH, pattern, utf8proc_version());
}

}  // namespace program
