#pragma once

/// Stage 3: allocators turn scores or a cost table into a plan, which gives each unit a menu entry, a sparsity or a
/// rank.

#include <precis/allocate/evolve.hpp>
#include <precis/allocate/greedy.hpp>
#include <precis/allocate/kmeans_tiers.hpp>
#include <precis/allocate/knapsack.hpp>
#include <precis/allocate/lagrangian.hpp>
#include <precis/allocate/minimax.hpp>
#include <precis/allocate/norm_sweep.hpp>
#include <precis/allocate/ranks.hpp>
#include <precis/allocate/sparsity.hpp>
#include <precis/allocate/uniform.hpp>
#include <precis/allocate/z_tiers.hpp>
