#include "machine.hpp"

#include <cstdio>

void print(const char* text) noexcept { std::fputs(text, stdout); }

int main() { run(); }
