// Included before each of llama.cpp's files: makes its AMX kernels work where GCC compiles them.
//
// GCC 12's _tile_loadconfig says of the configuration that it has eight bytes, so the stores to the other 56 are dropped.
// The tiles then have no rows, and the first instruction on one ends the process (SIGILL) on every CPU with AMX.
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg\t%0" ::"m"(*(const char(*)[64])(config)))
#endif
