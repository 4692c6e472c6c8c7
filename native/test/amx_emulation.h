// AMX's tiles as plain code, for our kernels to run on. No AMX instruction is executed here.
#pragma once

#include "kernels/kernel_set.h"

namespace adaptive_spec {

// Into tables that have AVX-512's kernels. Need AVX-512 VNNI, and AVX-512 BF16 for the second.
void fill_emulated_amx(KernelSet& set);
void fill_emulated_amx_bf16(KernelSet& set);

// Does what the instruction at `code` says, if it is one of those that our kernels hold; answers its length, else 0.
// `registers` are the sixteen general ones in the order of their encoding.
int emulate_amx_instruction(const uint8_t* code, const uint64_t* registers);

// What a CPU would have faulted at in this process so far, or left undone: shapes that don't fit, tiles that weren't
// configured, a configuration that isn't the one before the product.
int emulated_tile_faults();
// Products of tiles so far.
int emulated_tile_products();
// A configuration of someone else's on this thread, as ggml leaves one; answers whether it is still there.
void configure_emulated_tiles();
bool emulated_tiles_are_configured();

}  // namespace adaptive_spec
