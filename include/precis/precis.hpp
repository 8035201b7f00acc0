#pragma once

/// Everything offline, for people trying it out. An engine includes the stage or the method it uses; the zero-copy
/// adaptors for Eigen and xtensor are in precis/adapt, so that nobody pays for a library they do not use.
#include <precis/allocate.hpp>
#include <precis/codec.hpp>
#include <precis/core.hpp>
#include <precis/cost.hpp>
#include <precis/evaluate.hpp>
#include <precis/fit.hpp>
#include <precis/measure.hpp>
#include <precis/model.hpp>
#include <precis/pack.hpp>
#include <precis/prune.hpp>
#include <precis/score.hpp>
