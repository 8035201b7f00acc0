#pragma once

/// Stage two: the cost of every unit in every menu entry. Each cost maker turns a model and scores or data into a
/// `precis::cost_table`, where low = better.
#include <precis/cost/measured.hpp>
#include <precis/cost/plan_divergence.hpp>
#include <precis/cost/reconstruction.hpp>
#include <precis/cost/weighted_error.hpp>
