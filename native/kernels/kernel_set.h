// What one instruction set brings: the table from which the matrix product and the attention take their inner loops.
//
// Files that are built for an instruction set include this and nothing of the standard library: the linker keeps one
// copy of every inline function, and a copy with AVX-512 in it would end the process on a CPU without.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace adaptive_spec {

// Weights of this many output rows are interleaved, so that a vector lane is an output row.
constexpr int kGroupRows = 16;
// Weights along a row that share what is read at once: 32 of them times 16 rows are a packed block.
constexpr int kBlockWeights = 32;
// Most columns (rows of the batch) that a tile computes at once.
constexpr int kMaxColumns = 16;

enum class Format { kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ4_K, kQ5_K, kQ6_K, kIQ4_NL, kMXFP4, kF16, kBF16 };
constexpr int kFormats = 12;

// How a format lies in memory: groups of 16 rows one after the other; in each, `head` bytes, then `blocks` blocks of
// `bytes`, and again to the row's end.
struct PackedLayout {
  int head, blocks, bytes;
};
constexpr PackedLayout kPackedLayouts[kFormats] = {
    {0, 1, 288},  {0, 1, 320},  {0, 1, 352}, {0, 1, 384}, {0, 1, 544},  {64, 8, 288},
    {64, 8, 352}, {32, 8, 416}, {0, 1, 288}, {0, 1, 272}, {0, 1, 1024}, {0, 1, 1024}};

// The columns of a tile in the form that its format multiplies with; bytes per block and column.
enum class PanelKind { kInt8, kFloat, kBFloat16 };
constexpr int kInt8PanelBytes = 52, kFloatPanelBytes = 128, kBFloat16PanelBytes = 64;

// The columns' blocks [begin, end) into their panel. `columns` points to `n` arrays of floats.
using PanelFunction = void (*)(const float* const* columns, int n, int begin, int end, void* panel);

// 16 output rows of `blocks` packed blocks times the columns of a panel. out[j] gets `rows` <= 16 floats for column j.
// What a column gets depends on its own numbers only, bit for bit: not on n, not on its place, not on threads.
using TileFunction = void (*)(const uint8_t* group, int blocks, const void* panel, float* const* out, int rows);

// kChunkCells cells of the KV cache, and the queries that read them.
struct AttentionChunk {
  const uint8_t *k, *v;  // f16, one head of the first cell
  size_t k_stride, v_stride;  // bytes from cell to cell
  // What this thread reads later, to be fetched meanwhile: so many cells, so many bytes of each.
  const uint8_t *later_k, *later_v;
  int later_cells, later_bytes;
  int dk, dv;                 // multiples of 16
  int queries;
  const float* const* q;        // dk floats each
  const uint16_t* const* mask;  // f16, one per cell, added to the scores; the array may be null
  const float* slopes;          // times the mask, per query; may be null
  float scale, softcap;         // softcap 0 is none
  float* scratch;               // kAttentionScratch(dk) floats
};
constexpr int kChunkCells = 64, kQueryBlock = 4;
constexpr int kAttentionScratch(int dk) { return kChunkCells * (dk + kQueryBlock); }

// A partial sum over cells: largest score, sum of exponentials, then dv weighted values.
constexpr int kPartialHead = 2;
// Writes `queries` partial sums of kPartialHead + dv floats; a chunk without a visible cell gives -infinity first.
using AttendFunction = void (*)(const AttentionChunk& chunk, float* const* partials);
// Adds the later partial sum to the former.
using FoldFunction = void (*)(float* sum, const float* later, int dv);

struct KernelSet {
  const char* name;
  int columns[kFormats];  // most columns per tile
  PanelKind panel_kinds[kFormats];
  PanelFunction panels[3];  // by PanelKind
  TileFunction tiles[kFormats][kMaxColumns];
  AttendFunction attend;
  FoldFunction fold;
};

}  // namespace adaptive_spec
