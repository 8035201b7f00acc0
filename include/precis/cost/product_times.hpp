#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/aligned_bytes.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/random.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/cost/entry.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/multiply.hpp>
#include <precis/measure/call_time.hpp>
#include <precis/pack.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::cost {

/// A matrix of the given shape, packed in an entry, of which an engine makes `copies` to multiply in turn.
struct timed_matrix {
  std::string entry;
  std::span<const std::byte> packed;
  std::size_t out = 0;
  std::size_t in = 0;
  std::size_t copies = 1;
};

/// The times of the products of a table: nanoseconds per token of every unit in every entry, measured on this machine.
///
///     table = cost::product_times<menu>{}(model.matrices(), std::move(table));
///     plan p = allocate::knapsack{.budget = at_most_nanoseconds(2.5e6)}(table);
///
/// Bytes alone buy formats that are small and slow: codes of 3 bits take longer to unpack than codes of 4. Each shape is
/// measured once per entry, on random weights, with as many copies as the model would fill in that entry, so that the
/// weights come from where the model's would: a cache or memory.
///
/// Unit      nanoseconds of one vector. A unit's time is the sum over its matrices of the time times the products per
///           token, rounded to whole nanoseconds; not_timed for an entry that no kernel multiplies.
/// Errors    a table of other matrices, or of entries that are not in the menu; a number of products other than one per
///           matrix, or one that is negative or not finite.
/// Cost      measure::call_time per shape and entry; `most_bytes` of memory, and encoding one matrix per shape and entry.
/// Source    none.
/// Opt-in: precis/cost.hpp does not include it. `Formats` are the kernels that are compiled, such as
/// kernel_formats<Menu> of precis/multiply.hpp; without, those of every format.
template<codec_menu Menu, class Formats = kernel::formats<>>
struct product_times {
  measure::call_time clock = {};
  std::size_t most_bytes = std::size_t{64} << 20;  ///< copies of a matrix take at most as many bytes
  /// [matrices] products per token: 0 for a table that is only looked up, 1/8 for an expert that an eighth of the tokens
  /// reach. Empty: 1 each.
  std::vector<double> products{};

  /// With the kernels of this library, floats, one thread.
  [[nodiscard]] cost_table operator()(std::span<const matrix_info> matrices, cost_table t) const {
    cost_table timed = (*this)(matrices, std::move(t), [](const timed_matrix& m) { return kernel_product(m); });
    timed.notes.push_back("times of float products, one thread");
    return timed;
  }

  /// With the products of an engine: prepare(timed_matrix) returns a function of the copy to multiply, such as a
  /// std::function. It converts to false for an entry that the engine does not multiply.
  template<class Prepare>
  [[nodiscard]] cost_table operator()(std::span<const matrix_info> matrices, cost_table t, Prepare&& prepare) const {
    check(t, where);
    if (!products.empty() && products.size() != matrices.size())
      bad(std::to_string(products.size()) + " numbers of products for " + std::to_string(matrices.size()) + " matrices",
          "one per matrix, or none");
    for (const double n : products)
      if (!(n >= 0) || !kernel::is_finite(n))
        bad(std::to_string(n) + " products per token", "a finite number, at least 0");
    std::vector<std::size_t> index;
    for (const std::string& name : t.entries) index.push_back(Menu::index_of(name));
    std::vector<std::size_t> model_bytes(index.size());  // of all matrices in one entry
    for (const unit& u : t.units)
      for (const std::size_t m : u.matrices) {
        if (m >= matrices.size()) bad("unit " + u.name + " of a matrix that is not there", "a table of these matrices");
        for (std::size_t e = 0; e < index.size(); ++e)
          model_bytes[e] += Menu::bytes(index[e], matrices[m].out, matrices[m].in);
      }

    struct measured {
      std::size_t out, in, entry;
      std::optional<double> time;
    };
    std::vector<measured> known;  // few: shapes times entries
    const auto known_time = [&](const matrix_info& info, std::size_t e) {
      for (const measured& k : known)
        if (k.out == info.out && k.in == info.in && k.entry == e) return k.time;
      known.push_back({info.out, info.in, e, time_of(info, t.entries[e], index[e], model_bytes[e], prepare)});
      return known.back().time;
    };
    t.nanoseconds.assign(t.bytes.size(), 0);
    for (std::size_t u = 0; u < t.units.size(); ++u)
      for (std::size_t e = 0; e < index.size(); ++e) {
        double sum = 0;
        bool all = true;
        for (const std::size_t m : t.units[u].matrices) {
          const double uses = products.empty() ? 1 : products[m];
          if (uses == 0) continue;
          const std::optional<double> time = known_time(matrices[m], e);
          all = all && time.has_value();
          sum += uses * time.value_or(0);
        }
        t.nanoseconds[u * index.size() + e] = all ? static_cast<std::size_t>(math::llround(sum)) : not_timed;
      }
    return t;
  }

 private:
  static constexpr const char* where = "cost::product_times";
  [[noreturn]] static void bad(std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = where, .expected = std::move(expected)});
  }

  template<class Prepare>
  [[nodiscard]] std::optional<double> time_of(const matrix_info& info, const std::string& name, std::size_t entry,
                                              std::size_t model_bytes, Prepare& prepare) const {
    float_matrix weights(info.out, info.in);
    const random_stream normal(0, purpose("cost::product_times"));
    for (std::size_t i = 0; i < weights.values.size(); ++i) weights.values[i] = static_cast<float>(normal.normal(i));
    const std::vector<std::byte> packed = packed_in<Menu>(weights.view(), info, entry, fit::nearest{});
    const std::size_t each = std::max<std::size_t>(1, packed.size());
    const std::size_t copies = std::max<std::size_t>(1, std::min(model_bytes, most_bytes) / each);
    auto multiply =
        prepare(timed_matrix{.entry = name, .packed = packed, .out = info.out, .in = info.in, .copies = copies});
    if (!multiply) return std::nullopt;
    return clock([&](std::size_t i) { multiply(i % copies); });
  }

  /// Multiplies copies of a matrix in turn, if there is a kernel for its format.
  struct kernel_product {
    std::optional<kernel::packed_format> format;
    std::size_t out, in;
    std::vector<aligned_bytes> copies = {};
    std::vector<float> x = {}, y = {}, workspace = {};

    explicit kernel_product(const timed_matrix& m)
        : format(menu_facts<Menu>::packed_format(Menu::index_of(m.entry))), out(m.out), in(m.in) {
      if (!*this) return;
      for (std::size_t c = 0; c < m.copies; ++c) {
        copies.emplace_back(m.packed.size());
        std::copy(m.packed.begin(), m.packed.end(), copies.back().begin());
      }
      x.resize(in);
      y.resize(out);
      for (std::size_t i = 0; i < in; ++i) x[i] = static_cast<float>(i % 7) - 3;
      workspace.resize(kernel::vector_workspace({*format, nullptr, out, in}));
    }
    explicit operator bool() const { return format && kernel::multiplies<Formats>(*format); }
    void operator()(std::size_t c) { kernel::multiply<Formats>({*format, copies[c].data(), out, in}, x, y, workspace); }
  };
};

}  // namespace precis::cost
