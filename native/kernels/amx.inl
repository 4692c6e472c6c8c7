// Matrix products on AMX's tiles, in terms of `Tiles`: included, inside an unnamed namespace and after avx512.inl, by
// amx.cc, whose Tiles are the instructions, and by a test, whose Tiles are plain code that does what Intel documents.
//
// A packed block that is unpacked to bytes is an operand of a tile product as it stands: chunk i holds, for each of
// 16 rows, four neighbouring weights. The columns' bytes are the other operand, one column a tile row. Their integer
// sums are exact, and become floats by the operations of tile.inl in their order, so that every result is AVX-512's,
// bit for bit. Products of bf16 are sums of their own, in an order that depends on the weights' place alone.

// What LDTILECFG reads: bytes per row and rows of each tile.
struct TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

// Tiles 0 to 3 are sums; sum i is of columns in tile 4 + i % 2 and weights in tile 6 + i % 2. Four products in flight
// cover one's latency.
constexpr int kSumTiles = 4;
constexpr int column_tile(int sum) { return 4 + sum % 2; }
constexpr int weight_tile(int sum) { return 6 + sum % 2; }

// For n columns, and weights of so many chunks of 64 bytes.
constexpr TileConfig tile_config(int n, int chunks) {
  TileConfig config{};
  config.palette = 1;
  for (int sum = 0; sum < kSumTiles; ++sum) {
    config.rows[sum] = static_cast<uint8_t>(n);
    config.bytes[sum] = 64;
    config.rows[column_tile(sum)] = static_cast<uint8_t>(n);
    config.bytes[column_tile(sum)] = static_cast<uint16_t>(4 * chunks);
    config.rows[weight_tile(sum)] = static_cast<uint8_t>(chunks);
    config.bytes[weight_tile(sum)] = 64;
  }
  return config;
}

// This thread's tiles, configured while it lives. What was configured before comes back, since ggml's own AMX code,
// where it is compiled in, configures each thread once and for all.
class TileScope {
 public:
  explicit TileScope(const TileConfig& config) {
    Tiles::save(before_);
    Tiles::configure(config);
  }
  ~TileScope() {
    if (before_.palette)
      Tiles::configure(before_);
    else
      Tiles::release();  // a thread without tiles is cheaper to switch
  }
  TileScope(const TileScope&) = delete;

 private:
  alignas(64) TileConfig before_;
};

using TileSums = int32_t[kSumTiles][kMaxColumns][kGroupRows];  // the first n columns are written

// How the blocks of an int8 format are cut into steps that fill the four sums: with two scales a block has two parts.
template <class F>
struct Steps {
  static constexpr int kParts = F::kKind == kTwoScales ? 2 : 1;
  static constexpr int kBlocks = kSumTiles / kParts;
  static constexpr int kChunks = 8 / kParts;
  using Weights = uint8_t[kBlocks][8 * 64];
};

// Parts kSum and on of a step: starts all products before the first sum is waited for.
template <class F, int kSum>
inline void multiply_parts(const uint8_t* weights, const char* columns, size_t block_bytes, int parts) {
  if constexpr (kSum < kSumTiles) {
    if (kSum >= parts) return;
    using S = Steps<F>;
    constexpr int kBlock = kSum / S::kParts, kPart = kSum % S::kParts;
    Tiles::template zero<kSum>();
    Tiles::template load<column_tile(kSum)>(columns + kBlock * block_bytes + 4 * S::kChunks * kPart, kBlockWeights);
    Tiles::template load<weight_tile(kSum)>(weights + 512 * kBlock + 64 * S::kChunks * kPart, 64);
    Tiles::template multiply_int8<kSum>();
    multiply_parts<F, kSum + 1>(weights, columns, block_bytes, parts);
  }
}

template <int kSum, class Sums>
inline void store_sums(Sums& sums, int parts) {
  if constexpr (kSum < kSumTiles) {
    if (kSum >= parts) return;
    Tiles::template store<kSum>(sums[kSum], 64);
    store_sums<kSum + 1>(sums, parts);
  }
}

// Three steps are under way at a time: one is unpacked, the one before is multiplied, and the sums of the one before
// that are scaled. Tile loads and stores pass through memory and can't take over what was written just before, so what
// one step writes is read a step later.
template <class F>
inline void int8_tiles(const uint8_t* p, int blocks, const void* panel, int n, float* const* out, int rows,
                       const TileConfig& config) {
  static_assert(kHalves == 1);
  using S = Steps<F>;
  constexpr PackedLayout kLayout = kPackedLayouts[static_cast<int>(F::kFormat)];
  const auto* columns = static_cast<const char*>(panel);
  const size_t block_bytes = static_cast<size_t>(n) * kInt8PanelBytes;
  alignas(64) typename S::Weights weights[2];
  alignas(64) TileSums dots[2];
  Scales scales[4][S::kBlocks];  // of three steps
  Floats sums[kMaxColumns];
  for (int j = 0; j < n; ++j) sums[j] = Isa::zero();
  Scales head{};
  const TileScope scope(config);
  const int steps = (blocks + S::kBlocks - 1) / S::kBlocks;
  for (int step = 0; step < steps + 2; ++step) {
    if (step < steps) {
      for (int i = 0; i < S::kBlocks; ++i) {
        const int block = step * S::kBlocks + i;
        if (block == blocks) break;
        if (block % kLayout.blocks == 0) {
          head = F::head(p, 0);
          p += kLayout.head;
        }
        for (int k = 0; k < kLayout.bytes; k += 64) Isa::prefetch(p + kPrefetchBytes + k);
        Ints q[8];
        F::unpack(p, 0, q);
        for (int k = 0; k < 8; ++k) _mm512_store_si512(weights[step % 2][i] + 64 * k, q[k]);
        scales[step % 4][i] = F::scales(p, 0, head);
        p += kLayout.bytes;
      }
    }
    if (step >= 1 && step <= steps) {
      const int first = (step - 1) * S::kBlocks, parts = (blocks - first) * S::kParts;
      multiply_parts<F, 0>(weights[(step - 1) % 2][0], columns + first * block_bytes, block_bytes, parts);
      store_sums<0>(dots[(step - 1) % 2], parts);
    }
    if (step >= 2) {
      const int first = (step - 2) * S::kBlocks;
      const TileSums& dot = dots[step % 2];
      Scales scale[S::kBlocks];
      for (int i = 0; i < S::kBlocks; ++i) scale[i] = scales[(step - 2) % 4][i];
      for (int j = 0; j < n; ++j) {
        Floats sum = sums[j];
#pragma GCC unroll 4
        for (int i = 0; i < S::kBlocks; ++i) {
          if (first + i >= blocks) break;
          // A column's numbers in an Int8Block<n>.
          const char* a = columns + (first + i) * block_bytes + kBlockWeights * n;
          const auto* minus_8_sum = reinterpret_cast<const int32_t*>(a) + j;
          const auto* d = reinterpret_cast<const float*>(minus_8_sum + 3 * n);
          const auto part = [&](int index) { return Isa::load(dot[S::kParts * i + index][j]); };
          const auto offset = [&](int index) {
            return Isa::template shift_left32<F::kOffsetShift>(Isa::splat(minus_8_sum[index * n]));
          };
          if constexpr (F::kKind == kTwoScales) {
            const Ints low = _mm512_add_epi32(part(0), offset(1)), high = _mm512_add_epi32(part(1), offset(2));
            const Floats both =
                Isa::fma(Isa::to_float(high), scale[i].second, Isa::mul(Isa::to_float(low), scale[i].first));
            sum = Isa::fma(both, Isa::splat(d[0]), sum);
          } else {
            Ints whole = part(0);
            if constexpr (F::kKind == kOffset) whole = _mm512_add_epi32(whole, offset(0));
            sum = Isa::fma(Isa::to_float(whole), Isa::mul(scale[i].first, Isa::splat(d[0])), sum);
            if constexpr (F::kKind == kMinimum) sum = Isa::fma(scale[i].second, Isa::splat(d[n]), sum);
          }
        }
        sums[j] = sum;
      }
    }
  }
  for (int j = 0; j < n; ++j) Isa::store(out[j], sums[j], rows);
}

// A configuration is a constant, so that no tile waits for it to be written.
template <int n, int chunks>
struct Configured {
  alignas(64) static constexpr TileConfig kConfig = tile_config(n, chunks);
};

template <class F, int n>
void amx_tile(const uint8_t* group, int blocks, const void* panel, float* const* out, int rows) {
  int8_tiles<F>(group, blocks, panel, n, out, rows, Configured<n, Steps<F>::kChunks>::kConfig);
}

// --- bf16: a block of 32 weights is 16 chunks, which are an operand without being unpacked. Block i adds to sum
// i % 4, in every tile of every width.

template <int kSum>
inline void multiply_bf16_blocks(const uint8_t* group, const char* columns, int n, int blocks) {
  if constexpr (kSum < kSumTiles) {
    if (kSum >= blocks) return;
    for (int i = 0; i < 1024; i += 64) Isa::prefetch(group + 1024 * kSum + kPrefetchBytes + i);
    Tiles::template load<column_tile(kSum)>(columns + static_cast<size_t>(kSum) * n * kBFloat16PanelBytes,
                                            kBFloat16PanelBytes);
    Tiles::template load<weight_tile(kSum)>(group + 1024 * kSum, 64);
    Tiles::template multiply_bf16<kSum>();
    multiply_bf16_blocks<kSum + 1>(group, columns, n, blocks);
  }
}

inline void bf16_tiles(const uint8_t* group, int blocks, const void* panel, int n, float* const* out, int rows,
                       const TileConfig& config) {
  const auto* columns = static_cast<const char*>(panel);
  alignas(64) float sums[kSumTiles][kMaxColumns][kGroupRows];
  const TileScope scope(config);
  Tiles::zero<0>();
  Tiles::zero<1>();
  Tiles::zero<2>();
  Tiles::zero<3>();
  for (int b = 0; b < blocks; b += kSumTiles) {
    multiply_bf16_blocks<0>(group, columns, n, blocks - b);
    group += kSumTiles * 1024;
    columns += static_cast<size_t>(kSumTiles) * n * kBFloat16PanelBytes;
  }
  store_sums<0>(sums, kSumTiles);
  for (int j = 0; j < n; ++j) {
    const auto of = [&](int sum) { return Isa::load_floats(sums[sum][j]); };
    Isa::store(out[j], Isa::add(Isa::add(of(0), of(1)), Isa::add(of(2), of(3))), rows);
  }
}

template <int n>
void amx_bf16_tile(const uint8_t* group, int blocks, const void* panel, float* const* out, int rows) {
  bf16_tiles(group, blocks, panel, n, out, rows, Configured<n, 16>::kConfig);
}

// The columns rounded to bf16: [block][column][32], the rows of a tile.
void amx_bf16_panel(const float* const* columns, int n, int begin, int end, void* panel) {
  char* at = static_cast<char*>(panel) + static_cast<size_t>(begin) * n * kBFloat16PanelBytes;
  for (int b = begin; b < end; ++b)
    for (int j = 0; j < n; ++j, at += kBFloat16PanelBytes) {
      const float* x = columns[j] + b * kBlockWeights;
      const __m512bh both = _mm512_cvtne2ps_pbh(Isa::load_floats(x + 16), Isa::load_floats(x));
      _mm512_storeu_si512(at, reinterpret_cast<const __m512i&>(both));
    }
}

// --- the table

template <class F, int n>
void add_amx_tiles(TileFunction* tiles, int fewest) {
  if constexpr (n > 0) {
    add_amx_tiles<F, n - 1>(tiles, fewest);
    if (n >= fewest) tiles[n - 1] = amx_tile<F, n>;
  }
}

template <class... Fs>
void add_amx_formats(KernelSet& set, int fewest) {
  (add_amx_tiles<Fs, kMaxColumns>(set.tiles[static_cast<int>(Fs::kFormat)], fewest), ...);
}

// Into a table that has AVX-512's, whose tiles stay for fewer columns.
void add_amx_int8(KernelSet& set, int fewest) {
  static_assert(Isa::kColumns == kMaxColumns);
  add_amx_formats<Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL, MXFP4>(set, fewest);
}

template <int n>
void add_amx_bf16_tiles(TileFunction* tiles) {
  if constexpr (n > 0) {
    add_amx_bf16_tiles<n - 1>(tiles);
    tiles[n - 1] = amx_bf16_tile<n>;
  }
}

// For any number of columns: other instructions would round otherwise, and a row's result would depend on its company.
void add_amx_bf16(KernelSet& set) {
  const int format = static_cast<int>(Format::kBF16);
  set.columns[format] = kMaxColumns;
  set.panel_kinds[format] = PanelKind::kBFloat16;
  set.panels[static_cast<int>(PanelKind::kBFloat16)] = amx_bf16_panel;
  add_amx_bf16_tiles<kMaxColumns>(set.tiles[format]);
}
