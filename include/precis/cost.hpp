#pragma once

/// Stage two: what each unit costs in each menu entry. Each maker of costs turns a model (and scores, or data) into a
/// `precis::cost_table`, low = better.
#include <precis/cost/measured.hpp>
#include <precis/cost/reconstruction.hpp>
#include <precis/cost/weighted_error.hpp>
