#pragma once

#include <cstddef>

/// The algorithms of `algorithm` and `numeric` that take iterators. In libstdc++ they have headers of their own; `algorithm`
/// adds those that take ranges and declares the parallel ones, which takes g++ 12 four times as long to read.
#if defined(__GLIBCXX__) && !defined(_GLIBCXX_PARALLEL) && __has_include(<bits/stl_algo.h>) && \
    __has_include(<bits/stl_numeric.h>)
#include <bits/stl_algo.h>
#include <bits/stl_numeric.h>
#else
#include <algorithm>
#include <numeric>
#endif
