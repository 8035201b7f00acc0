#pragma once

/// How the codes of a format are chosen: every fit.
#include <precis/fit/awq.hpp>
#include <precis/fit/clip_search.hpp>
#include <precis/fit/coordinate_descent.hpp>
#include <precis/fit/gptq.hpp>
#include <precis/fit/low_rank_residual.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/fit/rounding_variables.hpp>
#include <precis/fit/signed_rounding.hpp>
#include <precis/fit/smooth.hpp>
#include <precis/fit/sparse_gpt.hpp>
