# Precompiled headers: what most translation units of this project's own programs include is parsed once per set of flags.
# Nothing of it reaches the users of precis::precis.

# A precompiled header carries the modification times of its parts, which differ between two checkouts; with this option
# clang compares contents instead, so that ccache can restore it.
set(precis_precompile_options "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # "a" + std::string("b") once more, GCC bug 105651: a precompiled <string> loses the pragmas that silence it.
  list(APPEND precis_precompile_options -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
endif()

# precis_precompile(TARGET HEADER...): the sources of TARGET start from HEADERs. They all have the flags of TARGET, because a
# precompiled header holds for one set of flags.
function(precis_precompile target)
  target_compile_options(${target} PRIVATE ${precis_precompile_options})
  target_precompile_headers(${target} PRIVATE ${ARGN})
endfunction()

# precis_precompile_as(TARGET OTHER): they start from what OTHER starts from. Both have the same flags.
function(precis_precompile_as target other)
  target_compile_options(${target} PRIVATE ${precis_precompile_options})
  target_precompile_headers(${target} REUSE_FROM ${other})
endfunction()
