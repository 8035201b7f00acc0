#pragma once

#include <precis/score/causal/trace.hpp>

#include "micro_transformer.hpp"

#include <utility>
#include <vector>

// One fact of the micro-transformer and explicit noise for it. The expected effects in the tests come from an
// independent implementation in double.

inline const precis::score::fact worked{
    .name = "worked", .prompt = {0, 1, 2}, .subject_begin = 1, .subject_end = 2, .answer = 1};

/// Two noise rows for the subject's only token.
inline precis::activations worked_noise() {
  precis::activations n(2, 1, 2);
  n.values = {-2.f, 1.f, 1.5f, -1.f};
  return n;
}

inline const std::vector<precis::score::restoration> every_kind{
    {precis::site_kind::residual, 1}, {precis::site_kind::attention, 1}, {precis::site_kind::mlp, 1}};

inline precis::score::fact_trace trace_worked(const auto& model,
                                              const std::vector<precis::score::restoration>& restorations) {
  const precis::activations noise = worked_noise();
  return precis::score::trace_fact(model, worked, std::as_const(noise).view(), precis::score::corruption::mode::add,
                                   restorations);
}
