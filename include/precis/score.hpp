#pragma once

/// Scorers: each turns a model (and data) into `precis::scores`, where high = keep.
#include <precis/score/block_influence.hpp>
#include <precis/score/causal_trace.hpp>
#include <precis/score/cca.hpp>
#include <precis/score/combine.hpp>
#include <precis/score/drop_one.hpp>
#include <precis/score/eigen_attribution.hpp>
#include <precis/score/first_order_taylor.hpp>
#include <precis/score/gradient_magnitude.hpp>
#include <precis/score/input_taylor.hpp>
#include <precis/score/outliers.hpp>
#include <precis/score/pruning_sensitivity.hpp>
#include <precis/score/reconstruction_error.hpp>
#include <precis/score/segments.hpp>
#include <precis/score/stream_parts.hpp>
#include <precis/score/taylor.hpp>
#include <precis/score/weight_magnitude.hpp>
