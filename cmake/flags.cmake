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

# AMX's tiles are a thread's to use where Linux permits it, which nobody asks elsewhere.
set(ADAPTIVE_SPEC_AMX OFF)
if(ADAPTIVE_SPEC_X86 AND CMAKE_SYSTEM_NAME STREQUAL Linux)
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_FLAGS "-mamx-tile -mamx-int8 -mamx-bf16 -mavx512bf16")
  check_cxx_source_compiles("
    #include <immintrin.h>
    int main() {
      _tile_dpbsud(0, 4, 6);
      _tile_dpbf16ps(0, 4, 6);
    }" ADAPTIVE_SPEC_COMPILES_AMX)
  unset(CMAKE_REQUIRED_FLAGS)
  set(ADAPTIVE_SPEC_AMX ${ADAPTIVE_SPEC_COMPILES_AMX})
endif()

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
    ADAPTIVE_SPEC_LLAMA_TREE="${ADAPTIVE_SPEC_LLAMA_TREE}"
    $<$<BOOL:${ADAPTIVE_SPEC_X86}>:ADAPTIVE_SPEC_X86>
    $<$<BOOL:${ADAPTIVE_SPEC_AMX}>:ADAPTIVE_SPEC_AMX>)
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

# Kernel files are built for their own instruction set, whatever the rest is built for: they run only where the CPU was
# asked first. Multiplications and additions are fused where they say so and nowhere else, or a row's result would
# depend on what the compiler made of each variant.
function(adaptive_spec_kernel_flags)
  if(ADAPTIVE_SPEC_X86)
    set(avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni)
    set(bf16 ${avx512} -mavx512bf16)
    foreach(file_and_flags "kernels/avx2" "kernels/avx2_vnni;-mavxvnni" "kernels/avx512;${avx512}"
            "kernels/avx512_bf16;${bf16}" "kernels/amx;${bf16};-mamx-tile;-mamx-int8;-mamx-bf16"
            "test/amx_emulation;${bf16}")
      list(POP_FRONT file_and_flags file)
      # GCC 12 takes its own _mm512_undefined_ps for a mistake.
      set_source_files_properties(native/${file}.cc PROPERTIES COMPILE_OPTIONS
        "-march=x86-64-v3;${file_and_flags};-ffp-contract=off;-Wno-maybe-uninitialized;-Wno-uninitialized")
    endforeach()
  endif()
endfunction()
