#pragma once

/// The values that stages exchange, and what all stages share.
#include <precis/core/budget.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/compensated_sum.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/moments.hpp>
#include <precis/core/order.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/random.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/select.hpp>
#include <precis/core/shown.hpp>
#include <precis/core/site.hpp>
#include <precis/core/size.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/spectra.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
