#pragma once

/// Stage 3: who gets what.

#include <precis/allocate/z_tiers.hpp>
