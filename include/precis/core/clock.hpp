#pragma once

#include <cstddef>

/// std::chrono's clocks and durations. In libstdc++ they have a header of their own; `chrono` adds calendars and streams,
/// which takes g++ 12 four times as long to read.
#if defined(__GLIBCXX__) && __has_include(<bits/chrono.h>)
#include <bits/chrono.h>
#else
#include <chrono>
#endif
