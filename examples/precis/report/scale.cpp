#include <report/scale.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace report {
namespace {

/// Bounds of every scale, so that differences and steps stay finite and quotients do not underflow.
constexpr double least = 1e-301, most = 1e301;

/// Shortens a C exponent: "1.2e+05" -> "1.2e5".
std::string lean(std::string s) {
  const std::size_t e = s.find('e');
  if (e == std::string::npos) return s;
  std::string exponent = s.substr(e + 1);
  const bool negative = exponent.front() == '-';
  exponent.erase(0, exponent.find_first_not_of("+-0"));
  return s.substr(0, e) + "e" + (negative ? "-" : "") + (exponent.empty() ? "0" : exponent);
}

/// A step of 1, 2 or 5 times a power of ten, near range / about.
double nice_step(double range, std::size_t about) {
  const double rough = range / static_cast<double>(std::max<std::size_t>(about, 1));
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double lead = rough / power;
  return (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10) * power;
}

std::string label(double value, double step, double largest) {
  if (std::abs(value) < step * 1e-9) return "0";
  if (largest >= 1e5 || step < 1e-4) {
    const int decimals =
        static_cast<int>(std::max(0.0, std::floor(std::log10(std::abs(value))) - std::floor(std::log10(step) + 1e-9)));
    return lean(fmt::format("{:.{}e}", value, std::min(decimals, 15)));
  }
  const int decimals = static_cast<int>(std::max(0.0, -std::floor(std::log10(step) + 1e-9)));
  return fmt::format("{:.{}f}", value, decimals);
}

std::vector<tick> linear_ticks(double low, double high, std::size_t about) {
  const double step = nice_step(high - low, about);
  const double largest = std::max(std::abs(low), std::abs(high)), slack = 1e-9 * step;
  std::vector<tick> out;
  const double first = std::ceil((low - slack) / step);
  for (double i = 0; i <= 100; ++i) {
    const double value = (first + i) * step;
    if (value > high + slack) break;
    out.push_back({value, label(value, step, largest)});
  }
  return out;
}

}  // namespace

std::string short_number(double value, int digits) {
  if (std::isnan(value)) return "n/a";
  if (std::isinf(value)) return value > 0 ? "\u221E" : "-\u221E";
  if (value == 0) return "0";
  const std::string rounded = fmt::format("{:.{}e}", value, digits - 1);
  const int exponent = std::stoi(rounded.substr(rounded.find('e') + 1));
  if (exponent >= 4 || exponent < -3) return lean(fmt::format("{:.1e}", value));
  return fmt::format("{:.{}f}", value, std::max(0, digits - 1 - exponent));
}

double scale::at(double value) const {
  if (kind == spacing::logarithmic) return (std::log(value) - std::log(low)) / (std::log(high) - std::log(low));
  return (value - low) / (high - low);
}

scale scale_of(std::span<const double> values, spacing kind) {
  const bool logarithmic = kind == spacing::logarithmic;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double v : values) {
    if (!std::isfinite(v) || (logarithmic && v <= 0)) continue;
    const double near = std::clamp(v, logarithmic ? 10 * least : -most / 10, most / 10);
    low = std::min(low, near);
    high = std::max(high, near);
  }
  if (low > high) return logarithmic ? scale{1, 10, kind} : scale{0, 1, kind};
  const double size = std::max(std::abs(low), std::abs(high));
  if (high - low <= 1e-9 * size || size < 1e-300) {
    if (logarithmic) return {low / 1.1, high * 1.1, kind};
    const double room = size < 1e-290 ? 1 : 0.1 * size;
    return {low - room, high + room, kind};
  }
  return {low, high, kind};
}

scale widened(scale s, std::size_t about) {
  if (s.kind == spacing::logarithmic) {
    const double room = std::exp(0.05 * (std::log(s.high) - std::log(s.low)));
    return {std::max(s.low / room, least), std::min(s.high * room, most), s.kind};
  }
  const double step = nice_step(s.high - s.low, about), slack = 1e-9;
  return {std::floor(s.low / step + slack) * step, std::ceil(s.high / step - slack) * step, s.kind};
}

std::vector<tick> ticks(scale s, std::size_t about) {
  if (s.kind == spacing::linear) return linear_ticks(s.low, s.high, about);
  const double decades = std::log10(s.high) - std::log10(s.low);
  if (decades < 0.9) return linear_ticks(s.low, s.high, about);

  // 1, 2, 5 of each decade when they fit, else each decade, else every second, fifth ... decade.
  const bool detailed = 3 * decades <= static_cast<double>(std::max<std::size_t>(about, 3)) + 1;
  const double every = std::max(1.0, std::ceil(decades / static_cast<double>(std::max<std::size_t>(about, 2))));
  std::vector<tick> out;
  for (double k = std::floor(std::log10(s.low)); k <= std::log10(s.high); ++k) {
    if (std::fmod(std::abs(k), every) != 0) continue;
    for (const double lead : {1.0, 2.0, 5.0}) {
      if (lead > 1 && !detailed) break;
      const double value = lead * std::pow(10, k);
      if (value >= s.low * (1 - 1e-9) && value <= s.high * (1 + 1e-9)) {
        const bool plain = value < 0.99e4 && value > 0.99e-3;
        out.push_back({value, plain ? fmt::format("{:.{}f}", value, static_cast<int>(std::max(0.0, -k)))
                                    : lean(fmt::format("{:.0e}", value))});
      }
    }
  }
  return out;
}

std::vector<double> spread(std::vector<double> positions, double gap, double low, double high) {
  std::vector<std::size_t> order(positions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return positions[a] < positions[b]; });
  // Go up the list, then back down, so that every gap holds; only a list too long for [low, high] extends below low.
  double floor = low;
  for (const std::size_t i : order) {
    positions[i] = std::max(positions[i], floor);
    floor = positions[i] + gap;
  }
  double ceiling = high;
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    positions[*i] = std::min(positions[*i], ceiling);
    ceiling = positions[*i] - gap;
  }
  return positions;
}

}  // namespace report
