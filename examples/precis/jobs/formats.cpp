#include "jobs/formats.hpp"

#include <engine/model_files/load.hpp>

#include <precis/codec/standard_menu.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/pack.hpp>

#include <algorithm>

namespace program {

using precis::codec::standard;

static_assert(precis::codec_menu<formats>);

const std::size_t formats::size = standard::size;

std::optional<precis::kernel::grid_format> formats::format(std::size_t entry) noexcept {
  return standard::format(entry);
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
void formats::decode(std::size_t entry, std::span<const std::byte> packed, precis::mutable_weight_view weights) {
  standard::decode(entry, packed, weights);
}

void nearest_fit::operator()(const precis::kernel::grid_format& f, precis::weight_view weights,
                             std::span<std::byte> packed) const {
  precis::fit::nearest{}(f, weights, packed);
}

bool has_width(unsigned bits) noexcept { return std::ranges::count(standard::widths, bits) != 0; }

engine::matrix_decoder decoder() { return engine::decoder_of<standard>(); }

}  // namespace program
