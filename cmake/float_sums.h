// Included before each of llama.cpp's files: keeps its sums of half floats in floats.
//
// Where a CPU has AVX-512 FP16, ggml adds up products of half floats in half floats. Attention without flash attention
// reads the cache that way: logits are then off by some thousandths, and by others for each order of the cache's cells.
#undef __AVX512FP16__
