#pragma once

#include <precis/kernel/float_product.hpp>

#include <span>

/// The engine's matrix product, instantiated once in product.cpp because its tiles take seconds to compile.
extern template void precis::kernel::product_onto<precis::kernel::native_lanes>(
    precis::kernel::strided<const float> start, precis::kernel::strided<const float> a,
    precis::kernel::strided<const float> b, precis::kernel::strided<float> c, std::span<float> workspace) noexcept;
