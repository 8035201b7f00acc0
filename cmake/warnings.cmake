# Warnings are errors in this project's own translation units; nobody who uses precis::precis sees these flags.
add_library(precis_warnings INTERFACE)
target_compile_options(precis_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(precis_warnings INTERFACE
    -Wno-restrict              # "a" + std::string("b") is enough: GCC bug 105651
    -Wno-maybe-uninitialized)  # its own AVX-512 intrinsics, inlined from Eigen: GCC bug 105593
endif()
