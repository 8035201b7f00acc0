#pragma once

namespace program {

/// Makes SIGINT (Ctrl-C), SIGTERM and SIGHUP ask jobs to stop: `interrupted` turns true, and they save what they have
/// finished. If the program still runs a second later, or at a second signal, it ends at once: temporary files are
/// removed, and what a checkpoint holds stays. A SIGHUP that is ignored, as under nohup, stays ignored.
void catch_interrupts();
/// Whether one of these signals has arrived.
[[nodiscard]] bool interrupted() noexcept;
/// The exit code for it: 128 + the signal's number, so 130 for Ctrl-C.
[[nodiscard]] int interrupted_status() noexcept;

/// The text that the program prints if it has to end at once. It must stay where it is until it is replaced; nullptr
/// stands for `nothing_written`. Returns the text before.
const char* say_if_ended(const char* text) noexcept;
inline constexpr const char* nothing_written = "precis: stopped; nothing was written\n";

/// Thrown by interrupted work that keeps no partial results.
struct stopped {};
/// Throws `stopped` if a signal asked for it.
inline void stop_if_interrupted() {
  if (interrupted()) throw stopped{};
}

}  // namespace program
