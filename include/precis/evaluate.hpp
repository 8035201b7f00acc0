#pragma once

/// Reports: what compression cost in quality.
#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/errors.hpp>
#include <precis/evaluate/interval.hpp>
#include <precis/evaluate/perplexity.hpp>
