#pragma once

/// What a model must offer, and what helps to use one.
#include <precis/model/batch.hpp>
#include <precis/model/changes.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/gram.hpp>
#include <precis/model/guard.hpp>
#include <precis/model/means.hpp>
#include <precis/model/restrict.hpp>
#include <precis/model/taps.hpp>
