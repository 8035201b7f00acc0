#pragma once

/// Stage 5: what compression cost and what it saved.

#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/errors.hpp>
#include <precis/evaluate/interval.hpp>
#include <precis/evaluate/kl_divergence.hpp>
#include <precis/evaluate/perplexity.hpp>
#include <precis/evaluate/size.hpp>
