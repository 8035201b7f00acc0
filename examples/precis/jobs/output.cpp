#include "jobs/output.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <report/png.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <system_error>

namespace program {

namespace {

/// The number of bytes of the UTF-8 sequence at `at`; 0 if there is none.
std::size_t sequence_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const unsigned first = byte(0), second = byte(1);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  for (std::size_t i = 1; i < length; ++i)
    if (byte(i) >> 6 != 2) return 0;
  const bool wrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                     (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
  return wrong ? 0 : length;
}
}  // namespace

engine::json in_utf8(const engine::json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    std::string valid;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = sequence_at(text, at);
      if (length == 0) valid += fmt::format("\\x{:02X}", static_cast<unsigned char>(text[at]));
      valid += text.substr(at, length);
      at += std::max<std::size_t>(length, 1);
    }
    return valid;
  }
  engine::json copy = value;
  if (value.is_structured())
    for (auto& element : copy) element = in_utf8(element);
  return copy;
}

void write_json(const std::string& file, const engine::json& result) {
  if (!file.empty()) engine::write_file(file, in_utf8(result).dump(1) + "\n");
}

void require_writable(std::initializer_list<std::filesystem::path> targets) {
  for (const std::filesystem::path& target : targets)
    if (!target.empty()) static_cast<void>(engine::atomic_file(target));  // without commit nothing is left
}

void require_folder(const std::filesystem::path& out, const std::string& file) {
  std::error_code failed;
  std::filesystem::create_directories(out, failed);
  require_writable({out / file});
}

void require_new_folder(const std::filesystem::path& out) { static_cast<void>(engine::atomic_folder(out)); }

void flush_report() {
  const int fault = std::fflush(stdout) != 0 ? errno : EIO;  // EIO: an earlier write failed
  if (std::ferror(stdout) != 0)
    throw std::system_error(fault, std::generic_category(), "the report cannot be written to standard output");
}

std::string write_picture(const std::filesystem::path& svg_file, const std::string& svg) {
  engine::write_file(svg_file, svg);
  std::filesystem::path png = svg_file;
  png.replace_extension(".png");
  if (report::save_png(svg, png)) return "wrote " + svg_file.string() + " and " + png.string();
  return "wrote " + svg_file.string() + " (no PNG: install rsvg-convert, inkscape or ImageMagick)";
}

}  // namespace program
