# Joined sources: several test files compiled as one translation unit, so that what they share is instantiated and compiled
# once. Templates are most of what a test compiles, so this halves the time with g++ and saves more under the sanitizers.

set(PRECIS_JOIN 16 CACHE STRING "Test files per translation unit; 1 compiles each alone, which is faster while you work on one")

# precis_join(RESULT NAME SOURCE...): lists in RESULT files that include up to PRECIS_JOIN sources each. Every source stands in
# a namespace of its own, so files may use the same names. What a source includes comes before the namespaces: its first lines,
# up to the first that is neither blank, a comment nor a directive.
function(precis_join result name)
  if(PRECIS_JOIN LESS 2)
    set(${result} ${ARGN} PARENT_SCOPE)
    return()
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})  # an include that is added must be seen here
  set(joined "")
  list(LENGTH ARGN left)
  math(EXPR files "(${left} + ${PRECIS_JOIN} - 1) / ${PRECIS_JOIN}")
  foreach(file RANGE 1 ${files})
    math(EXPR count "(${left} + ${files} - ${file}) / (${files} - ${file} + 1)")  # of equal size
    math(EXPR left "${left} - ${count}")
    set(includes "")
    set(bodies "")
    foreach(i RANGE 1 ${count})
      list(POP_FRONT ARGN source)
      cmake_path(GET source PARENT_PATH folder)
      file(READ ${source} text)
      string(REGEX MATCH "^((#|//)[^\n]*\n|\n)*" preamble "${text}")
      string(REGEX MATCHALL "#[^\n]*" directives "${preamble}")
      foreach(directive IN LISTS directives)
        if(directive MATCHES "^#include \"(.*)\"")
          set(beside ${folder}/${CMAKE_MATCH_1})
          if(EXISTS ${beside})
            set(directive "#include \"${beside}\"")
          endif()
        endif()
        string(APPEND includes "${directive}\n")
      endforeach()
      string(APPEND bodies "namespace joined_${i} {\n#include \"${source}\"\n}\n")
    endforeach()
    set(path ${CMAKE_CURRENT_BINARY_DIR}/joined/${name}_${file}.cpp)
    file(CONFIGURE OUTPUT ${path} CONTENT "${includes}${bodies}" @ONLY)  # written only if it changed
    list(APPEND joined ${path})
  endforeach()
  set(${result} ${joined} PARENT_SCOPE)
endfunction()
