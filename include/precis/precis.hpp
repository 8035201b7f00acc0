#pragma once

/// Everything offline, for trying out the library. An engine includes only the stages or methods it uses. The zero-copy
/// adaptors for Eigen and xtensor are in precis/adapt, so that programs without these libraries do not depend on them.
#include <precis/allocate.hpp>
#include <precis/codec.hpp>
#include <precis/core.hpp>
#include <precis/cost.hpp>
#include <precis/evaluate.hpp>
#include <precis/fit.hpp>
#include <precis/measure.hpp>
#include <precis/model.hpp>
#include <precis/multiply.hpp>
#include <precis/pack.hpp>
#include <precis/prune.hpp>
#include <precis/score.hpp>
