# Checks the structure of the tree without building anything:  cmake [-D SOURCE=...] -P cmake/check_structure.cmake
#
#   1. no two headers below include/precis have the same file name;
#   2. a header includes only its own folder and the folders that the table below allows;
#   3. a header names the `detail` namespace of no other folder;
#   4. include/precis/FOLDER/NAME.hpp has its test, tests/FOLDER/NAME.cpp, but for what `without_test` lists.
cmake_minimum_required(VERSION 3.24)
if(NOT SOURCE)
  cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH SOURCE)
endif()

# The one place that defines the order of the folders: below_FOLDER lists the folders directly below it. FOLDER may include
# those, and whatever they may include.
set(folders core kernel linear_algebra model measure prune codec fit pack score cost allocate evaluate adapt)
set(below_core kernel)
set(below_kernel "")
set(below_linear_algebra kernel core)
set(below_model core)
set(below_measure model kernel linear_algebra)
set(below_prune measure)
set(below_codec core kernel linear_algebra)
set(below_fit codec measure)
set(below_pack fit codec prune)
set(below_score measure model prune)
set(below_cost pack)
set(below_allocate core)
set(below_evaluate measure)
set(below_adapt core model)

# Headers without a test of their own: the tests of the headers that include them cover them.
set(without_test
  "^kernel/lanes$"                               # the lanes of this build: tests of the products and of fit/power
  "^kernel/lanes_"                               # one instruction set each: the gate's lane instruction_sets
  "^kernel/blocks/"                              # block types: blocks/decode.cpp goes through all of them
  "^(kernel/(instructions|compile_level|every_level|level_kernels)|fit/level_fits)$"  # parts of dispatch
  "^score/(canonical|causal|eigenpruning)/")     # the internals of one method

set(wrong 0)
function(complain text)
  message(NOTICE "${text}")
  math(EXPR count "${wrong} + 1")
  set(wrong ${count} PARENT_SCOPE)
endfunction()

# Sets allowed_FOLDER: the folder itself and everything below it.
foreach(folder IN LISTS folders)
  set(open ${folder})
  set(allowed_${folder} "")
  while(open)
    list(POP_FRONT open next)
    if(NOT next IN_LIST allowed_${folder})
      list(APPEND allowed_${folder} ${next})
      list(APPEND open ${below_${next}})
    endif()
  endwhile()
endforeach()

file(GLOB_RECURSE headers RELATIVE ${SOURCE}/include/precis ${SOURCE}/include/precis/*.hpp)
foreach(header IN LISTS headers)
  if(NOT header MATCHES "/")  # an umbrella: it may include every folder, and tests/umbrella includes it
    continue()
  endif()
  cmake_path(GET header FILENAME name)
  string(MAKE_C_IDENTIFIER "${name}" key)
  if(DEFINED first_${key})
    complain("include/precis/${header}: ${first_${key}} has the same file name; expected a name of its own")
  endif()
  set(first_${key} ${header})

  string(REGEX REPLACE "/.*" "" folder "${header}")
  if(NOT folder IN_LIST folders)
    complain("include/precis/${header}: the folder ${folder} has no entry in cmake/check_structure.cmake; expected one")
    continue()
  endif()
  file(STRINGS ${SOURCE}/include/precis/${header} includes REGEX "^#include <precis/")
  foreach(line IN LISTS includes)
    string(REGEX REPLACE "^#include <precis/([^>/.]+).*" "\\1" target "${line}")
    if(NOT target IN_LIST allowed_${folder})
      string(REGEX REPLACE "^#include <([^>]+)>.*" "\\1" included "${line}")
      list(JOIN allowed_${folder} ", " allowed)
      complain("include/precis/${header}: it includes ${included}; expected only ${allowed}")
    endif()
  endforeach()

  set(named "")
  file(STRINGS ${SOURCE}/include/precis/${header} uses REGEX "[a-z_]+::detail::")
  foreach(line IN LISTS uses)
    string(REGEX REPLACE "//.*" "" line "${line}")
    string(REGEX MATCHALL "[a-z_]+::detail::[a-z_]+" found "${line}")
    list(APPEND named ${found})
  endforeach()
  list(REMOVE_DUPLICATES named)
  foreach(use IN LISTS named)
    string(REGEX REPLACE "::.*" "" owner "${use}")
    if(owner IN_LIST folders AND NOT owner STREQUAL folder)
      complain("include/precis/${header}: it names ${use}; expected only public names of other folders")
    endif()
  endforeach()

  cmake_path(REMOVE_EXTENSION header OUTPUT_VARIABLE path)
  set(exempt FALSE)
  foreach(pattern IN LISTS without_test)
    if(path MATCHES "${pattern}")
      set(exempt TRUE)
    endif()
  endforeach()
  if(NOT exempt AND NOT EXISTS ${SOURCE}/tests/${path}.cpp)
    complain("include/precis/${header}: it has no test; expected tests/${path}.cpp")
  endif()
endforeach()

list(LENGTH headers count)
if(count EQUAL 0)
  complain("include/precis: no header; expected some")
endif()
if(wrong GREATER 0)
  message(FATAL_ERROR "structure: ${wrong} findings in ${count} headers")
endif()
message(STATUS "structure: ${count} headers are in order")
