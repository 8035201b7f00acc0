#if !defined(PRECIS_KERNEL_DENSE_FORMAT)
#define PRECIS_KERNEL_DENSE_FORMAT

#include <cstddef>
#include <cstdint>

namespace precis::kernel {

/// Uncompressed floats: row-major, contiguous, little-endian, of any alignment.
enum class dense_type : std::uint8_t { float32, float16, bfloat16 };

[[nodiscard]] constexpr std::size_t bytes_of(dense_type type) noexcept { return type == dense_type::float32 ? 4 : 2; }

}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_DENSE_FORMAT
