#pragma once

// Precompiled for the engine and the program: the headers that most of their sources include. Sources still include what
// they use; benchmarks and embedded builds compile the same headers without this file.

#include <precis/core.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/model/concepts.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

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
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
