#pragma once

// Precompiled for every test program: the headers that most tests include. Tests still include what they use, and the
// `headers` test compiles each header of the library alone, without this file.

#include "catch.hpp"

#include <precis/core.hpp>
#include <precis/kernel/lanes.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
