#pragma once

#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

/// Checks a stated `Requires` of a function in debug builds. Replaceable: define it before including.
#ifndef PRECIS_EXPECTS
#ifdef NDEBUG
#define PRECIS_EXPECTS(condition, why) static_cast<void>(0)
#else
#include <cassert>
#define PRECIS_EXPECTS(condition, why) assert((condition) && (why))
#endif
#endif

namespace precis {

/// What went wrong, in the three parts every message has.
struct problem {
  std::string what;      ///< the fact, with its numbers and names: "tensor h.0.mlp.c_fc.weight holds NaN at [3, 17]"
  std::string where;     ///< the stage or file that noticed: "codec::affine", "model.safetensors"
  std::string expected;  ///< what would have been right, or what to do: "finite weights"

  [[nodiscard]] std::string message() const {
    std::string text = where.empty() ? what : where + ": " + what;
    if (!expected.empty()) text += "; expected " + expected;
    return text;
  }
};

/// Bad input, refused before work starts. Thrown by offline code only; `kernel/` never throws.
class error : public std::exception {
 public:
  explicit error(problem p) : problem_(std::move(p)), message_(problem_.message()) {}
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }
  [[nodiscard]] const precis::problem& reason() const noexcept { return problem_; }

 private:
  precis::problem problem_;
  std::string message_;
};

/// Called by `refuse` when exceptions are disabled; may not return control to the library.
using refusal_hook = void (*)(const problem&);

namespace detail {
inline refusal_hook& current_refusal_hook() noexcept {
  static refusal_hook hook = nullptr;
  return hook;
}
}  // namespace detail

/// Sets the hook that decides what a refusal does where there are no exceptions. Returns the previous one.
inline refusal_hook on_refusal(refusal_hook hook) noexcept {
  return std::exchange(detail::current_refusal_hook(), hook);
}

/// The one place that refuses: throws `precis::error`, or calls the hook and aborts when exceptions are off.
[[noreturn]] inline void refuse(problem p) {
#if defined(__cpp_exceptions)
  throw error(std::move(p));
#else
  if (refusal_hook hook = detail::current_refusal_hook()) hook(p);
  std::abort();
#endif
}

/// The return type of overloads that exist only to explain a compile error (see docs/models.md).
struct refused {};

}  // namespace precis
