// Start-up code of a Cortex-M with floating point, and a console through semihosting (of a debugger or an emulator).

#include "machine.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

// Defined by the linker script.
extern "C" {
extern std::uint32_t flash_begin[], flash_end[], data_begin[], data_end[], bss_begin[], bss_end[], stack_begin[],
    stack_end[];
}

namespace {

std::uint32_t semihosting(std::uint32_t operation, std::uintptr_t argument) noexcept {
  register std::uint32_t r0 asm("r0") = operation;
  register std::uintptr_t r1 asm("r1") = argument;
  asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

[[noreturn]] void stop(bool well) noexcept {
  constexpr std::uint32_t exit = 0x18, done = 0x20026, failed = 0x20024;
  for (;;) semihosting(exit, well ? done : failed);
}

void print_bytes(const char* what, std::size_t bytes) noexcept {
  char digits[11];
  char* at = digits + 10;
  *at = '\0';
  do *--at = static_cast<char>('0' + bytes % 10);
  while ((bytes /= 10) != 0);
  print(what);
  print(at);
}

std::size_t between(const std::uint32_t* begin, const std::uint32_t* end) noexcept {
  return reinterpret_cast<std::uintptr_t>(end) - reinterpret_cast<std::uintptr_t>(begin);
}

constexpr std::uint32_t untouched = 0xA5A5'A5A5;

[[noreturn]] void start() noexcept {
  auto* const access = reinterpret_cast<volatile std::uint32_t*>(0xE000'ED88);  // CPACR: enables coprocessors 10 and 11
  *access = *access | 0xFu << 20;
  asm volatile("dsb\n isb" ::: "memory");
  std::copy(flash_end, flash_end + (data_end - data_begin), data_begin);
  std::fill(bss_begin, bss_end, 0);
  auto* const here = static_cast<std::uint32_t*>(__builtin_frame_address(0));
  for (volatile std::uint32_t* p = stack_begin; p < here - 64; ++p) *p = untouched;

  run();

  const std::size_t constants = between(data_begin, data_end), zeros = between(bss_begin, bss_end);
  print_bytes("flash ", between(flash_begin, flash_end) + constants);
  print_bytes(" bytes, RAM ", constants + zeros);
  const std::uint32_t* deepest = std::find_if(stack_begin, stack_end, [](std::uint32_t w) { return w != untouched; });
  print_bytes(" bytes and a stack of ", between(deepest, stack_end));
  print("\n");
  stop(true);
}

[[noreturn]] void fault() noexcept {
  print("fault\n");
  stop(false);
}

struct vector_table {
  const std::uint32_t* stack;
  void (*handlers[15])();
};
[[gnu::section(".vectors"), gnu::used]] const vector_table vectors = {
    stack_end,
    {start, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault}};

}  // namespace

void print(const char* text) noexcept { semihosting(0x04, reinterpret_cast<std::uintptr_t>(text)); }
