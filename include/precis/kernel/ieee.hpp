#if !defined(PRECIS_KERNEL_IEEE)
#define PRECIS_KERNEL_IEEE

#include <precis/kernel/constants.hpp>

#include <cstdint>

/// Arithmetic as it is written, whatever the flags of the program that includes the headers.
///
/// PRECIS_IEEE_BEGIN and PRECIS_IEEE_END enclose the code of every header that computes with floating point, templates
/// and lambdas included. Between them -ffast-math, -Ofast and their component flags have no effect: no sum is
/// reordered, no quotient becomes a product with a reciprocal, and NaN and infinity exist. Nor is a product fused with
/// a sum, as g++ does by default on machines with fused multiply-add.
///
/// The regions do not reach the functions of the standard library, which are compiled as the user's code is. So whether
/// a number is finite is asked with the functions below, because std::isfinite is always true under -ffast-math; and
/// g++ does not inline a function of the other kind that touches a float, so hot code uses kernel::bit_cast and
/// comparisons in place of std::bit_cast, std::min and std::max. For the same reason a template that calls lambdas of
/// these headers stands in a region too.
///
/// With g++, the regions are empty if neither the flags nor the instructions of the file could change a result. Then a
/// function of the user's own whose target attribute allows fused multiply-add may fuse what is inlined into it: call the
/// library from a function without the attribute, or use dispatch.hpp.
///
/// With clang, -ffast-math also fuses in the code generator, where no pragma reaches. There the regions make the
/// arithmetic strict, which is never fused but not vectorized either: only explicit vectors keep their speed. The lane
/// types therefore compute with operators, because clang compiles intrinsics as the user's code.
#if defined(PRECIS_IEEE_BEGIN)  // this header is included once more for each level of dispatch.hpp
#elif defined(__clang__) && defined(__FAST_MATH__)
#define PRECIS_IEEE_BEGIN                                                                                   \
  _Pragma("float_control(push)") _Pragma("float_control(precise, on)") _Pragma("float_control(except, on)") \
      _Pragma("clang fp contract(off)")
#define PRECIS_IEEE_END _Pragma("float_control(pop)")
#elif defined(__clang__)
#define PRECIS_IEEE_BEGIN \
  _Pragma("float_control(push)") _Pragma("float_control(precise, on)") _Pragma("clang fp contract(off)")
#define PRECIS_IEEE_END _Pragma("float_control(pop)")
#elif defined(__GNUC__)
// The macros exist where a region has an effect; elsewhere they are empty, because g++ takes a tenth of the time of the whole
// library to attach the options to its functions. Which one it is may change with the level, so it is asked at each region.
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    defined(__NO_SIGNED_ZEROS__) || __FINITE_MATH_ONLY__
#define PRECIS_IEEE_NEEDED 1
#else
#define PRECIS_IEEE_NEEDED PRECIS_FUSES
#endif
#define PRECIS_IEEE_BEGIN PRECIS_IEEE_CHOOSE(BEGIN, PRECIS_IEEE_NEEDED)
#define PRECIS_IEEE_END PRECIS_IEEE_CHOOSE(END, PRECIS_IEEE_NEEDED)
#define PRECIS_IEEE_CHOOSE(which, needed) PRECIS_IEEE_PASTE(which, needed)
#define PRECIS_IEEE_PASTE(which, needed) PRECIS_IEEE_##which##_##needed
#define PRECIS_IEEE_BEGIN_0
#define PRECIS_IEEE_END_0
#define PRECIS_IEEE_BEGIN_1 _Pragma("GCC push_options") _Pragma("GCC optimize(\"no-fast-math\", \"fp-contract=off\")")
#define PRECIS_IEEE_END_1 _Pragma("GCC pop_options")
#else
#define PRECIS_IEEE_BEGIN
#define PRECIS_IEEE_END
#endif

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// The bits of `from` as a `To`, like std::bit_cast.
template<class To, class From>
[[nodiscard]] PRECIS_INLINE constexpr To bit_cast(const From& from) noexcept {
  return __builtin_bit_cast(To, from);
}

/// Whether x is neither NaN nor infinite. Reads the bits, so no compiler flag changes the answer.
[[nodiscard]] PRECIS_INLINE constexpr bool is_finite(float x) noexcept {
  return (kernel::bit_cast<std::uint32_t>(x) & 0x7F80'0000u) != 0x7F80'0000u;
}
[[nodiscard]] PRECIS_INLINE constexpr bool is_finite(double x) noexcept {
  return (kernel::bit_cast<std::uint64_t>(x) >> 52 & 0x7FFu) != 0x7FFu;
}

/// Whether x is NaN.
[[nodiscard]] PRECIS_INLINE constexpr bool is_nan(float x) noexcept {
  return (kernel::bit_cast<std::uint32_t>(x) & 0x7FFF'FFFFu) > 0x7F80'0000u;
}
[[nodiscard]] PRECIS_INLINE constexpr bool is_nan(double x) noexcept {
  return (kernel::bit_cast<std::uint64_t>(x) & 0x7FFF'FFFF'FFFF'FFFFu) > 0x7FF0'0000'0000'0000u;
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_IEEE
