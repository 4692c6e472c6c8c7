# Compiler flags of our own files; llama.cpp's are in llama.cmake.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(ADAPTIVE_SPEC_X86 ON)
else()
  set(ADAPTIVE_SPEC_X86 OFF)
endif()

if(ADAPTIVE_SPEC_PORTABLE)
  set(ADAPTIVE_SPEC_VARIANT portable)
else()
  set(ADAPTIVE_SPEC_VARIANT native)
endif()

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)  # for editors

function(adaptive_spec_flags target)
  set_target_properties(${target} PROPERTIES
    CXX_STANDARD 20
    CXX_STANDARD_REQUIRED ON
    CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}/native")
  target_compile_definitions(${target} PRIVATE
    ADAPTIVE_SPEC_VARIANT="${ADAPTIVE_SPEC_VARIANT}"
    ADAPTIVE_SPEC_LLAMA_TREE="${ADAPTIVE_SPEC_LLAMA_TREE}")
  # `omp simd` pragmas need no OpenMP runtime. Nobody looks at floating-point traps, and without them more loops
  # become vector code. The prefix map keeps this machine's paths out of a binary that others will run.
  target_compile_options(${target} PRIVATE -O3 -Wall -Wextra -Wno-missing-field-initializers -fopenmp-simd
    -fno-trapping-math "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
  if(NOT ADAPTIVE_SPEC_PORTABLE)
    target_compile_options(${target} PRIVATE -march=native)
  elseif(ADAPTIVE_SPEC_X86)
    target_compile_options(${target} PRIVATE -march=x86-64-v3)
  endif()
endfunction()
