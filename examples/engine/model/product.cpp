#include <engine/model/product.hpp>

template void precis::kernel::product_onto<precis::kernel::native_lanes>(precis::kernel::strided<const float> start,
                                                                         precis::kernel::strided<const float> a,
                                                                         precis::kernel::strided<const float> b,
                                                                         precis::kernel::strided<float> c,
                                                                         std::span<float> workspace) noexcept;
