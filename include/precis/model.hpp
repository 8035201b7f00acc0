#pragma once

/// The concepts that a model can satisfy, and helpers for using models.
#include <precis/model/batch.hpp>
#include <precis/model/changes.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/guard.hpp>
#include <precis/model/inputs.hpp>
#include <precis/model/taps.hpp>
#include <precis/model/whole_forwards.hpp>
