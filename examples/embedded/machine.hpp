#pragma once

/// What a machine offers: a console ...
void print(const char* text) noexcept;
/// ... and what it starts.
void run() noexcept;
