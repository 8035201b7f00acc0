#include "jobs/formats.hpp"

#include <engine/model_files/load.hpp>

#include <precis/codec/standard_menu.hpp>
#include <precis/core/error.hpp>
#include <precis/fit/dispatched_fit.hpp>
#include <precis/pack.hpp>

#include <algorithm>

namespace program {

using precis::codec::standard;

static_assert(precis::codec_menu<formats>);

const std::size_t formats::size = standard::size;

std::optional<precis::kernel::grid_format> formats::format(std::size_t entry) noexcept {
  return standard::format(entry);
}
std::optional<precis::kernel::packed_format> formats::packed_format(std::size_t entry) noexcept {
  return standard::packed_format(entry);
}
bool formats::keeps_zero(std::size_t entry) noexcept { return standard::keeps_zero(entry); }
std::vector<std::string> formats::names() { return standard::names(); }
bool formats::contains(std::string_view name) { return standard::contains(name); }
std::size_t formats::index_of(std::string_view name) { return standard::index_of(name); }
std::size_t formats::bytes(std::size_t entry, std::size_t out, std::size_t in) noexcept {
  return standard::bytes(entry, out, in);
}
void formats::encode(std::size_t entry, precis::weight_view weights, std::span<std::byte> packed) {
  standard::encode(entry, weights, packed);
}
void formats::encode(std::size_t entry, precis::weight_view weights, std::span<const float> importance,
                     std::span<std::byte> packed) {
  standard::encode(entry, weights, importance, packed);
}
void formats::decode(std::size_t entry, std::span<const std::byte> packed, precis::mutable_weight_view weights) {
  standard::decode(entry, packed, weights);
}

void code_fit::operator()(const precis::kernel::grid_format& f, precis::weight_view weights,
                          std::span<std::byte> packed) const {
  if (compensate)
    precis::refuse(
        {.what = "gptq without the statistics of a model's inputs",
         .where = "--fit",
         .expected = "clip_search or nearest here; gptq in `precis cost` and `precis compress` with --calibration"});
  if (search)
    precis::dispatch::clip_search{}(f, weights, packed);
  else
    precis::dispatch::nearest{}(f, weights, packed);
}

std::string to_string(code_fit fit) {
  if (fit.compensate) return fit.tune ? "signed_rounding" : "gptq";
  return fit.search ? "clip_search" : "nearest";
}
code_fit fit_called(std::string_view name) {
  const bool tune = name == "signed_rounding", compensate = tune || name == "gptq";
  PRECIS_EXPECTS(compensate || name == "clip_search" || name == "nearest", "one of the four");
  return {.search = name != "nearest", .compensate = compensate, .tune = tune};
}

void set_fit(std::vector<std::string>& notes, code_fit fit) {
  std::erase_if(notes, [](const std::string& note) { return fit_of({note}).has_value(); });
  notes.push_back("fit " + to_string(fit));
}
std::optional<code_fit> fit_of(const std::vector<std::string>& notes) {
  for (const char* const name : {"clip_search", "nearest", "gptq", "signed_rounding"})
    if (std::ranges::count(notes, std::string("fit ") + name) != 0) return fit_called(name);
  return std::nullopt;
}

bool has_width(unsigned bits) noexcept { return std::ranges::count(standard::widths, bits) != 0; }

engine::matrix_decoder decoder() { return engine::decoder_of<standard>(); }

}  // namespace program
