#include <engine/model/gguf_family.hpp>

#include <algorithm>
#include <charconv>
#include <limits>
#include <variant>

namespace engine {

double gguf_reader::number_or(std::string_view rest, double otherwise) const {
  if (!has(rest)) return otherwise;
  const double value = keys_.number_or(key(rest), 0);
  const auto single = static_cast<float>(value);
  if (static_cast<double>(single) != value) return value;  // a file with doubles
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, single).ptr;
  double shortest = 0;
  (void)std::from_chars(digits, end, shortest);
  return shortest;
}

std::vector<std::size_t> gguf_reader::per_layer(std::string_view rest, std::size_t layers) const {
  const gguf_value* const value = keys_.find(key(rest));
  const auto* const array = value == nullptr ? nullptr : std::get_if<gguf_array>(value);
  if (array == nullptr) return std::vector<std::size_t>(layers, keys_.whole_number(key(rest)));
  if (array->count != layers) keys_.refuse(key(rest), std::to_string(layers) + " numbers, one per layer");
  std::vector<std::size_t> all;
  for (const gguf_value& v : elements_of(*array)) {
    if (const auto* n = std::get_if<std::uint64_t>(&v))
      all.push_back(static_cast<std::size_t>(*n));
    else if (const auto* i = std::get_if<std::int64_t>(&v); i != nullptr && *i >= 0)
      all.push_back(static_cast<std::size_t>(*i));
    else if (const auto* flag = std::get_if<bool>(&v))
      all.push_back(*flag ? 1 : 0);
    else
      keys_.refuse(key(rest), "whole numbers");
  }
  return all;
}

const gguf_tensor* gguf_reader::tensor(std::string_view name) const noexcept {
  const auto at = std::ranges::find(header_.tensors, name, &gguf_tensor::name);
  return at == header_.tensors.end() ? nullptr : &*at;
}

}  // namespace engine
