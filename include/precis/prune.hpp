#pragma once

/// Which weights are set to zero.

#include <precis/prune/eigenpruning.hpp>
#include <precis/prune/magnitude.hpp>
#include <precis/prune/shares.hpp>
