#include "jobs/output.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <report/png.hpp>

#include <nlohmann/json.hpp>

#include <system_error>

namespace program {

void write_json(const std::string& file, const engine::json& result) {
  if (!file.empty()) engine::write_file(file, result.dump(1) + "\n");
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

std::string write_picture(const std::filesystem::path& svg_file, const std::string& svg) {
  engine::write_file(svg_file, svg);
  std::filesystem::path png = svg_file;
  png.replace_extension(".png");
  if (report::save_png(svg, png)) return "wrote " + svg_file.string() + " and " + png.string();
  return "wrote " + svg_file.string() + " (no PNG: install rsvg-convert, inkscape or ImageMagick)";
}

}  // namespace program
