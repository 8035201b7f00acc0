#pragma once

/// Reports: the quality of a compressed model, with confidence intervals.
#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/errors.hpp>
#include <precis/evaluate/interval.hpp>
#include <precis/evaluate/perplexity.hpp>
