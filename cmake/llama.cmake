# llama.cpp's static libraries: built once into the cache, afterwards only imported, as the target `llama_static`.

find_program(NODE_EXECUTABLE node REQUIRED)
find_package(Threads REQUIRED)

# Fills llama.cpp/ where it is empty, and prints the id of the tree that it has checked.
execute_process(COMMAND ${NODE_EXECUTABLE} "${CMAKE_SOURCE_DIR}/scripts/source.mjs"
  OUTPUT_VARIABLE ADAPTIVE_SPEC_LLAMA_TREE OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "llama.cpp's source is not there; the lines above say why.")
endif()
execute_process(COMMAND ${NODE_EXECUTABLE} "${CMAKE_SOURCE_DIR}/scripts/cache.mjs"
  OUTPUT_VARIABLE cache_root COMMAND_ERROR_IS_FATAL ANY)

set(llama_source "${CMAKE_SOURCE_DIR}/llama.cpp")
set(llama_options
  CMAKE_BUILD_TYPE=Release
  BUILD_SHARED_LIBS=OFF
  CMAKE_POSITION_INDEPENDENT_CODE=ON
  CMAKE_C_VISIBILITY_PRESET=hidden
  CMAKE_CXX_VISIBILITY_PRESET=hidden
  CMAKE_VISIBILITY_INLINES_HIDDEN=ON
  LLAMA_BUILD_IS_DEV=OFF
  LLAMA_BUILD_NUMBER=0
  LLAMA_BUILD_COMMIT=v0.5.0
  LLAMA_BUILD_COMMON=ON
  LLAMA_BUILD_TESTS=OFF
  LLAMA_BUILD_TOOLS=OFF
  LLAMA_BUILD_EXAMPLES=OFF
  LLAMA_BUILD_SERVER=OFF
  LLAMA_BUILD_APP=OFF
  LLAMA_OPENSSL=OFF      # Node exports OpenSSL symbols of its own
  LLAMA_SUBPROCESS=OFF
  GGML_OPENMP=OFF        # OpenMP ignores llama.cpp's thread pools, and calls setenv inside Node
  GGML_LLAMAFILE=OFF     # sums several rows in another order than one, so that text would depend on the depth
  GGML_CCACHE=OFF)
if(NOT ADAPTIVE_SPEC_PORTABLE)
  list(APPEND llama_options GGML_NATIVE=ON)
elseif(ADAPTIVE_SPEC_X86)
  list(APPEND llama_options GGML_NATIVE=OFF GGML_SSE42=ON GGML_AVX=ON GGML_AVX2=ON GGML_FMA=ON GGML_F16C=ON
    GGML_BMI2=ON GGML_AVX512=OFF)
else()
  list(APPEND llama_options GGML_NATIVE=OFF)
endif()

# Their texts are a part of the key, their paths aren't: checkouts share the libraries.
set(includes "")
set(include_hashes "")
foreach(header tile_config float_sums)
  file(SHA256 "${CMAKE_SOURCE_DIR}/cmake/${header}.h" hash)
  list(APPEND include_hashes ${hash})
  string(APPEND includes " -include \"${CMAKE_SOURCE_DIR}/cmake/${header}.h\"")
endforeach()

# The key holds all that decides what the libraries contain.
set(key_parts ${ADAPTIVE_SPEC_LLAMA_TREE} ${llama_options} ${include_hashes} ${CMAKE_SYSTEM_NAME} ${CMAKE_SYSTEM_PROCESSOR}
  ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION} ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}
  "CFLAGS=$ENV{CFLAGS}" "CXXFLAGS=$ENV{CXXFLAGS}")
if(NOT ADAPTIVE_SPEC_PORTABLE)
  if(EXISTS /proc/cpuinfo)
    file(STRINGS /proc/cpuinfo cpu_flags REGEX "^(flags|Features)" LIMIT_COUNT 1)
  else()
    cmake_host_system_information(RESULT cpu_flags QUERY PROCESSOR_DESCRIPTION)
  endif()
  list(APPEND key_parts "${cpu_flags}")
endif()
string(SHA256 key "${key_parts}")
string(SUBSTRING ${key} 0 16 key)
set(llama_libraries "${cache_root}/llama-${key}")

# Builds in a folder beside, which an interrupted build leaves behind for the next one to go on in.
function(build_llama)
  set(building "${llama_libraries}.building")
  file(MAKE_DIRECTORY "${cache_root}")
  file(LOCK "${llama_libraries}.lock" GUARD FUNCTION TIMEOUT 0 RESULT_VARIABLE busy)
  if(busy)
    message(STATUS "Waiting for another build of llama.cpp to finish")
    file(LOCK "${llama_libraries}.lock" GUARD FUNCTION)
  endif()
  if(EXISTS "${llama_libraries}/complete")
    return()
  endif()

  cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
  message(STATUS "Building llama.cpp (${ADAPTIVE_SPEC_VARIANT}) on ${cores} cores: 5 to 10 minutes on two, once; then kept in ${llama_libraries}")
  if(EXISTS "${building}/CMakeCache.txt")
    file(STRINGS "${building}/CMakeCache.txt" home REGEX "^CMAKE_HOME_DIRECTORY:")
    if(NOT home STREQUAL "CMAKE_HOME_DIRECTORY:INTERNAL=${llama_source}")
      file(REMOVE_RECURSE "${building}")  # begun from another checkout, which CMake refuses to go on with
    endif()
  endif()
  list(TRANSFORM llama_options PREPEND -D OUTPUT_VARIABLE options)
  execute_process(COMMAND "${CMAKE_COMMAND}" -S "${llama_source}" -B "${building}" -G "${CMAKE_GENERATOR}"
      "-DCMAKE_MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM}"
      "-DCMAKE_C_COMPILER=${CMAKE_C_COMPILER}" "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}"
      "-DCMAKE_C_FLAGS=$ENV{CFLAGS} -ffile-prefix-map=${llama_source}/=${includes}"
      "-DCMAKE_CXX_FLAGS=$ENV{CXXFLAGS} -ffile-prefix-map=${llama_source}/=${includes}"
      --log-level=WARNING ${options}
    COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${CMAKE_COMMAND}" --build "${building}" --parallel ${cores}
      --target llama-common --target llama --target ggml
    COMMAND_ERROR_IS_FATAL ANY)

  file(GLOB_RECURSE archives "${building}/*.a")
  file(REMOVE_RECURSE "${llama_libraries}")
  file(COPY ${archives} DESTINATION "${llama_libraries}")
  list(JOIN llama_options "\n" made_with)
  file(WRITE "${llama_libraries}/complete" "${made_with}\n")
  file(REMOVE_RECURSE "${building}")
endfunction()

if(NOT EXISTS "${llama_libraries}/complete")
  build_llama()
endif()

file(GLOB archives "${llama_libraries}/*.a")
add_library(llama_static INTERFACE)
target_include_directories(llama_static SYSTEM INTERFACE "${llama_source}/include" "${llama_source}/ggml/include"
  "${llama_source}/common" "${llama_source}/vendor"
  # The kernels' hook and ggml's block layouts are not in its public headers.
  "${llama_source}/ggml/src" "${llama_source}/ggml/src/ggml-cpu"
  # Nor is the parser of grammars. Last, since libcommon has headers of the same names.
  "${llama_source}/src")
if(APPLE)
  target_link_libraries(llama_static INTERFACE ${archives} Threads::Threads)
else()
  # The archives refer to each other both ways, so the linker has to go round them.
  target_link_libraries(llama_static INTERFACE -Wl,--start-group ${archives} -Wl,--end-group
    Threads::Threads ${CMAKE_DL_LIBS})
endif()
