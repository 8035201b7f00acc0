# What this project's own programs need. The system's packages first; what is missing is fetched, pinned, when
# PRECIS_FETCH_DEPENDENCIES is AUTO. The library itself (precis::precis) needs nothing.

if(PROJECT_IS_TOP_LEVEL)
  set(precis_fetch_default AUTO)
else()
  set(precis_fetch_default OFF)  # never download behind a parent project's back
endif()
set(PRECIS_FETCH_DEPENDENCIES ${precis_fetch_default} CACHE STRING
  "AUTO: fetch a pinned copy of a dependency that the system does not have. OFF: stop and say what is missing")
set_property(CACHE PRECIS_FETCH_DEPENDENCIES PROPERTY STRINGS AUTO OFF)

set(precis_source_Eigen3 https://gitlab.com/libeigen/eigen.git 3.4.0)
set(precis_source_xtl https://github.com/xtensor-stack/xtl.git 0.7.7)
set(precis_source_xtensor https://github.com/xtensor-stack/xtensor.git 0.24.7)
set(precis_source_Catch2 https://github.com/catchorg/Catch2.git v3.5.2)
set(precis_source_fmt https://github.com/fmtlib/fmt.git 10.2.1)
set(precis_source_benchmark https://github.com/google/benchmark.git v1.8.3)
set(precis_source_CLI11 https://github.com/CLIUtils/CLI11.git v2.4.1)
set(precis_source_nlohmann_json https://github.com/nlohmann/json.git v3.11.3)

# Fetches one package without its tests, documentation and install rules.
function(precis_fetch package)
  include(FetchContent)
  list(GET precis_source_${package} 0 repository)
  list(GET precis_source_${package} 1 tag)
  message(STATUS "precis: ${package} is not installed; fetching ${tag} from ${repository}")
  foreach(switch BUILD_TESTING EIGEN_BUILD_DOC EIGEN_BUILD_TESTING EIGEN_BUILD_PKGCONFIG BENCHMARK_ENABLE_TESTING
          BENCHMARK_ENABLE_INSTALL CLI11_BUILD_TESTS CLI11_BUILD_EXAMPLES CLI11_BUILD_DOCS JSON_BuildTests CATCH_INSTALL_DOCS)
    set(${switch} OFF)
  endforeach()
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)  # the plain variables above count as the options of the same name
  set(CMAKE_WARN_DEPRECATED OFF)
  set(system_headers "")
  if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.25)
    set(system_headers SYSTEM)  # its headers' warnings are its own business
  endif()
  FetchContent_Declare(${package} GIT_REPOSITORY ${repository} GIT_TAG ${tag} GIT_SHALLOW TRUE
    ${system_headers} OVERRIDE_FIND_PACKAGE)
  FetchContent_MakeAvailable(${package})
endfunction()

# Finds each package, fetches it, or stops with a sentence that says what to install.
macro(precis_need)
  foreach(package ${ARGN})
    if(package STREQUAL "Threads")
      set(THREADS_PREFER_PTHREAD_FLAG ON)
      find_package(Threads REQUIRED)
    elseif(package MATCHES "^(PCRE2|utf8proc)$")  # from the system only
      find_package(PkgConfig REQUIRED)
      set(library libpcre2-8)
      if(package STREQUAL "utf8proc")
        set(library libutf8proc)
      endif()
      pkg_check_modules(${package} REQUIRED IMPORTED_TARGET GLOBAL ${library})
      if(PRECIS_STATIC)
        find_library(PRECIS_${package}_ARCHIVE ${library}.a HINTS ${${package}_LIBRARY_DIRS} ${${package}_LIBDIR})
        if(PRECIS_${package}_ARCHIVE)
          set_target_properties(PkgConfig::${package} PROPERTIES INTERFACE_LINK_LIBRARIES ${PRECIS_${package}_ARCHIVE})
        endif()
      endif()
    else()
      find_package(${package} QUIET)
      if(NOT ${package}_FOUND)
        if(NOT PRECIS_FETCH_DEPENDENCIES STREQUAL "AUTO")
          message(FATAL_ERROR "precis: ${package} is missing. Install it (scripts/packages lists the names for Debian and "
            "Ubuntu), or configure with -DPRECIS_FETCH_DEPENDENCIES=AUTO to fetch a pinned copy")
        endif()
        if(package STREQUAL "xtensor")
          precis_need(xtl)
        endif()
        precis_fetch(${package})
      endif()
    endif()
  endforeach()
endmacro()
