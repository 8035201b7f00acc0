#pragma once

/// Which weights are set to zero.

#include <precis/prune/eigen.hpp>
#include <precis/prune/magnitude.hpp>
#include <precis/prune/shares.hpp>
