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
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
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
    cost_table timed = (*this)(matrices, std::move(t), kernel_product);
    timed.notes.push_back("times of float products, one thread");
    return timed;
  }

  /// With the products of an engine: prepare(timed_matrix) returns a std::function of the copy to multiply, or an empty
  /// one for an entry that the engine does not multiply.
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

    std::map<std::tuple<std::size_t, std::size_t, std::size_t>, std::optional<double>> known;  // out, in, entry
    t.nanoseconds.assign(t.bytes.size(), 0);
    for (std::size_t u = 0; u < t.units.size(); ++u)
      for (std::size_t e = 0; e < index.size(); ++e) {
        double sum = 0;
        bool all = true;
        for (const std::size_t m : t.units[u].matrices) {
          const double uses = products.empty() ? 1 : products[m];
          if (uses == 0) continue;
          const matrix_info& info = matrices[m];
          const auto [at, is_new] = known.try_emplace({info.out, info.in, e}, std::nullopt);
          if (is_new) at->second = time_of(info, t.entries[e], index[e], model_bytes[e], prepare);
          all = all && at->second.has_value();
          sum += uses * at->second.value_or(0);
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
    const std::function<void(std::size_t)> multiply =
        prepare(timed_matrix{.entry = name, .packed = packed, .out = info.out, .in = info.in, .copies = copies});
    if (!multiply) return std::nullopt;
    return clock([&](std::size_t i) { multiply(i % copies); });
  }

  [[nodiscard]] static std::function<void(std::size_t)> kernel_product(const timed_matrix& m) {
    const auto format = menu_facts<Menu>::packed_format(Menu::index_of(m.entry));
    if (!format || !kernel::multiplies<Formats>(*format)) return {};
    std::vector<aligned_bytes> copies;
    for (std::size_t c = 0; c < m.copies; ++c) {
      copies.emplace_back(m.packed.size());
      std::copy(m.packed.begin(), m.packed.end(), copies.back().begin());
    }
    std::vector<float> x(m.in), y(m.out);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
    std::vector<float> workspace(kernel::vector_workspace({*format, nullptr, m.out, m.in}));
    return [f = *format, out = m.out, in = m.in, copies = std::move(copies), x = std::move(x), y = std::move(y),
            workspace = std::move(workspace)](std::size_t c) mutable {
      kernel::multiply<Formats>({f, copies[c].data(), out, in}, x, y, workspace);
    };
  }
};

}  // namespace precis::cost
