#include "jobs/output.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <report/png.hpp>

#include <precis/core/shown.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <system_error>

namespace program {

engine::json in_utf8(const engine::json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    std::string valid;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = precis::utf8_character(text, at);
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
