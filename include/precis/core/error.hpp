#pragma once

#include <precis/core/shown.hpp>

#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

/// Checks a documented precondition (`Requires`) in debug builds. To replace it, define it before including precis.
#ifndef PRECIS_EXPECTS
#ifdef NDEBUG
#define PRECIS_EXPECTS(condition, why) static_cast<void>(0)
#else
#include <cassert>
#define PRECIS_EXPECTS(condition, why) assert((condition) && (why))
#endif
#endif

namespace precis {

/// The three parts of every error message.
struct problem {
  std::string what = {};   ///< what is wrong, with names and numbers: "tensor h.0.mlp.c_fc.weight holds NaN at [3, 17]"
  std::string where = {};  ///< the stage or file: "codec::affine", "model.safetensors"
  std::string expected = {};  ///< valid input, or what to do: "finite weights"

  [[nodiscard]] std::string message() const {
    std::string text = where.empty() ? what : where + ": " + what;
    if (!expected.empty()) text += "; expected " + expected;
    return text;
  }
};

/// Thrown for bad input, before work starts. Only offline code throws it; `kernel/` never throws.
class error : public std::exception {
 public:
  explicit error(problem p) : problem_(std::move(p)), message_(problem_.message()) {}
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }
  [[nodiscard]] const precis::problem& reason() const noexcept { return problem_; }

 private:
  precis::problem problem_;
  std::string message_;
};

/// Called by `refuse` if exceptions are disabled. The program aborts if the hook returns.
using refusal_hook = void (*)(const problem&);

namespace detail {
inline refusal_hook& current_refusal_hook() noexcept {
  static refusal_hook hook = nullptr;
  return hook;
}
}  // namespace detail

/// Sets the hook that `refuse` calls if exceptions are disabled. Returns the previous hook.
inline refusal_hook on_refusal(refusal_hook hook) noexcept {
  return std::exchange(detail::current_refusal_hook(), hook);
}

/// Refuses bad input: throws `precis::error`, or calls the hook and aborts if exceptions are disabled.
[[noreturn, gnu::cold]] inline void refuse(problem p) {
#if defined(__cpp_exceptions)
  throw error(std::move(p));
#else
  if (refusal_hook hook = detail::current_refusal_hook()) hook(p);
  std::abort();
#endif
}

/// The return type of overloads that exist only to give a readable compile error (see docs/models.md).
struct refused {};

}  // namespace precis
