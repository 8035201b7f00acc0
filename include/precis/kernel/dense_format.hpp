#if !defined(PRECIS_KERNEL_DENSE_FORMAT)
#define PRECIS_KERNEL_DENSE_FORMAT

#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// Uncompressed floats: row-major, contiguous, little-endian, of any alignment.
enum class dense_type : std::uint8_t { float32, float16, bfloat16 };

[[nodiscard]] constexpr std::size_t bytes_of(dense_type type) noexcept { return type == dense_type::float32 ? 4 : 2; }

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_DENSE_FORMAT
