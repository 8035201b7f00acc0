#pragma once

#include <concepts>
#include <memory>
#include <type_traits>

namespace engine {

/// A non-owning reference to anything callable as f(Arguments...), valid for the duration of one call.
template<class... Arguments>
class callback {
 public:
  template<class F>
    requires(!std::same_as<std::remove_cvref_t<F>, callback>)
  explicit callback(F& f) noexcept
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Arguments... arguments) { (*static_cast<F*>(object))(arguments...); }) {}
  void operator()(Arguments... arguments) const { call_(object_, arguments...); }

 private:
  void* object_;
  void (*call_)(void*, Arguments...);
};

}  // namespace engine
