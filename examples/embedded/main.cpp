// Prints the greedy continuation of the start token, and a hash of all logits.

#include "llama.hpp"
#include "machine.hpp"

#include <model.hpp>

namespace {

embedded::llama<model> engine;

void print_number(std::uint64_t value, unsigned base) noexcept {
  char digits[21];
  char* at = digits + 20;
  *at = '\0';
  do {
    *--at = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  print(at);
}

}  // namespace

void run() noexcept {
  std::uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a over words
  std::size_t token = 1;
  for (std::size_t position = 0; position < model::shape.context; ++position) {
    const std::span<const float> logits = engine.logits(token, position);
    for (const float v : logits) hash = (hash ^ std::bit_cast<std::uint32_t>(v)) * 0x100000001B3u;
    token = static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    print_number(token, 10);
    print(" ");
  }
  print("\nlogits ");
  print_number(hash, 16);
  print("\n");
}
