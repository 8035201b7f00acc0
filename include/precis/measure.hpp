#pragma once

/// Quantities measured in a pass over data, from which scores, costs and reports are built.
#include <precis/measure/agreement.hpp>
#include <precis/measure/exponential.hpp>
#include <precis/measure/gram.hpp>
#include <precis/measure/kl_divergence.hpp>
#include <precis/measure/lane_sum.hpp>
#include <precis/measure/log_sum_exp.hpp>
#include <precis/measure/means.hpp>
#include <precis/measure/positions.hpp>
#include <precis/measure/statistics.hpp>
