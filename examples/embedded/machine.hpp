#pragma once

/// Provided by the machine: a console.
void print(const char* text) noexcept;
/// Called by the machine after start-up.
void run() noexcept;
