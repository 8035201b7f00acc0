# Precompiled headers: what most translation units of this project's own programs include is parsed once per set of flags.
# Nothing of it reaches the users of precis::precis.

# A precompiled header carries the modification times of its parts, which differ between two checkouts; with this option
# clang compares contents instead, so that ccache can restore it.
set(precis_precompile_options "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # "a" + std::string("b") once more, GCC bug 105651: a precompiled <string> loses the pragmas that silence it.
  list(APPEND precis_precompile_options -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
endif()

# precis_precompile(TARGET HEADER...): the sources of TARGET start from HEADERs, but for those with compile options of their
# own in this configuration: a precompiled header holds for one set of flags.
function(precis_precompile target)
  target_compile_options(${target} PRIVATE ${precis_precompile_options})
  target_precompile_headers(${target} PRIVATE ${ARGN})
  get_target_property(sources ${target} SOURCES)
  get_target_property(folder ${target} SOURCE_DIR)
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${folder})
    get_source_file_property(options ${source} TARGET_DIRECTORY ${target} COMPILE_OPTIONS)
    if(options MATCHES "^\\$<\\$<CONFIG:([A-Za-z]+)>" AND NOT CMAKE_MATCH_1 STREQUAL CMAKE_BUILD_TYPE)
      continue()
    endif()
    if(options)
      set_source_files_properties(${source} TARGET_DIRECTORY ${target} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endforeach()
endfunction()
