#pragma once

/// Pruning: masks by magnitude, sparsities that units share, and singular values.

#include <precis/prune/eigenpruning.hpp>
#include <precis/prune/magnitude.hpp>
#include <precis/prune/shares.hpp>
#include <precis/prune/wanda.hpp>
