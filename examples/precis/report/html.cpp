#include <report/html.hpp>

#include <report/svg.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace report {
namespace {

constexpr std::string_view style = R"(
:root{color-scheme:light dark;--ink:#1f2328;--muted:#596069;--paper:#ffffff;--line:#dde1e6;--soft:#f4f6f8}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,"Segoe UI","Helvetica Neue",Arial,sans-serif}
main{max-width:1160px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:28px;line-height:1.25;margin:0 0 4px}
h2{font-size:20px;line-height:1.3;margin:44px 0 8px;padding-bottom:4px;border-bottom:1px solid var(--line)}
p{max-width:75ch;margin:10px 0}
.subtitle{color:var(--muted);margin:0 0 20px}
nav ul{margin:0;padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:4px 20px}
a{color:inherit;text-underline-offset:3px}
figure{margin:20px 0;overflow-x:auto}
figure svg{display:block}
figcaption,caption{color:var(--muted);font-size:14px;text-align:left;max-width:90ch}
figcaption{position:sticky;left:0;margin-top:6px}
caption{padding-bottom:6px}
.scroll{overflow-x:auto;margin:20px 0}
table{border-collapse:collapse;font-size:14px}
th,td{padding:5px 14px 5px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{border-bottom:2px solid var(--muted);vertical-align:bottom}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
pre{background:var(--soft);padding:12px 14px;overflow-x:auto;font:13px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
)";

constexpr std::string_view print_style = R"(
@media print{
main{max-width:none;padding:0}
nav{display:none}
figure,.scroll,tr,pre{break-inside:avoid}
h2{break-after:avoid}
figure,.scroll,pre{overflow:visible}
figure svg{max-width:100%;height:auto}
pre{white-space:pre-wrap}
body{font-size:11pt;-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
)";

/// Line ends and tabs are significant in a listing; `escape` would make them visible characters.
std::string escape_lines(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t stop = std::min(text.find_first_of("\n\t", at), text.size());
    std::string_view line = text.substr(at, stop - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    out += escape(line);
    if (stop < text.size()) out += text[stop];
    at = stop + 1;
  }
  return out;
}

bool starts_as_number(std::string_view cell) {
  while (!cell.empty() && (cell.front() == '-' || cell.front() == '+')) cell.remove_prefix(1);
  if (cell.starts_with("\u2265") || cell.starts_with("\u2212")) cell.remove_prefix(3);
  if (cell.empty()) return false;
  return (cell.front() >= '0' && cell.front() <= '9') || cell.starts_with("\u221E") || cell == "n/a" || cell == "inf" ||
         cell == "nan" || (cell.size() > 1 && cell.front() == '.' && cell[1] >= '0' && cell[1] <= '9');
}

struct writer {
  std::string& out;

  void operator()(const paragraph& p) const { out += "<p>" + escape_lines(p.text) + "</p>\n"; }
  void operator()(const listing& l) const { out += "<pre>" + escape_lines(l.text) + "</pre>\n"; }
  void operator()(const figure& f) const {
    out += "<figure>\n" + f.svg;
    if (!f.caption.empty()) out += "<figcaption>" + escape_lines(f.caption) + "</figcaption>\n";
    out += "</figure>\n";
  }
  void operator()(const table& t) const {
    std::vector<char> numeric(t.header.size(), 0);
    for (std::size_t c = 0; c < t.header.size(); ++c) {
      std::size_t filled = 0, numbers = 0;
      for (const std::vector<std::string>& row : t.rows) {
        if (row.size() != t.header.size())
          precis::refuse({.what = fmt::format("a row of {} cells under a header of {}", row.size(), t.header.size()),
                          .where = "table " + t.caption,
                          .expected = "rows as long as the header"});
        filled += row[c].empty() ? 0 : 1;
        numbers += starts_as_number(row[c]) ? 1 : 0;
      }
      numeric[c] = filled > 0 && filled == numbers;
    }
    const auto css = [&](std::size_t c) { return numeric[c] ? " class=\"number\"" : ""; };
    out += "<div class=\"scroll\"><table>\n";
    if (!t.caption.empty()) out += "<caption>" + escape_lines(t.caption) + "</caption>\n";
    out += "<thead><tr>";
    for (std::size_t c = 0; c < t.header.size(); ++c)
      out += fmt::format("<th scope=\"col\"{}>{}</th>", css(c), escape_lines(t.header[c]));
    out += "</tr></thead>\n<tbody>\n";
    for (const std::vector<std::string>& row : t.rows) {
      out += "<tr>";
      for (std::size_t c = 0; c < row.size(); ++c) out += fmt::format("<td{}>{}</td>", css(c), escape_lines(row[c]));
      out += "</tr>\n";
    }
    out += "</tbody></table></div>\n";
  }
};

}  // namespace

std::string draw(const page& p) {
  std::string out =
      "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
      "<title>" +
      escape(p.title) + "</title>\n<style>";
  out += style;
  // The dark theme is for screens only, not for print.
  out +=
      "@media screen and "
      "(prefers-color-scheme:dark){\n:root{--ink:#e6e9ec;--muted:#9ea6af;--paper:#16191d;--line:#3a4047;--soft:#1e2227}"
      "\n" +
      dark_rules() + "}";
  out += print_style;
  out += "</style>\n</head>\n<body>\n<main>\n<h1>" + escape_lines(p.title) + "</h1>\n";
  if (!p.subtitle.empty()) out += "<p class=\"subtitle\">" + escape_lines(p.subtitle) + "</p>\n";
  if (p.sections.size() > 2) {
    out += "<nav aria-label=\"Contents\"><ul>\n";
    for (std::size_t i = 0; i < p.sections.size(); ++i)
      out += fmt::format("<li><a href=\"#s{}\">{}</a></li>\n", i, escape_lines(p.sections[i].heading));
    out += "</ul></nav>\n";
  }
  for (std::size_t i = 0; i < p.sections.size(); ++i) {
    out += fmt::format("<section id=\"s{}\">\n<h2>{}</h2>\n", i, escape_lines(p.sections[i].heading));
    for (const content& part : p.sections[i].parts) std::visit(writer{out}, part);
    out += "</section>\n";
  }
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace report
