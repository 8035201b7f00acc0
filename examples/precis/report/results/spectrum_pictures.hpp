#pragma once

#include <string>

namespace program {

struct spectrum_result;

/// A histogram of the singular values' effects on the loss; the values that the chosen portion removes are marked.
[[nodiscard]] std::string effects_picture(const spectrum_result& r);
/// Singular values by their index in their slice; the removed ones are marked.
[[nodiscard]] std::string spectrum_picture(const spectrum_result& r);

}  // namespace program
