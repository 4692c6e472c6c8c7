// The matrix product's inner loops, in terms of an instruction set's `Isa`: included by each of their files, inside
// an unnamed namespace.
//
// A tile is 16 output rows (`Isa::kLanes` at a time) times N columns. Weights are unpacked to unsigned bytes once per
// block and serve all columns; four neighbouring weights of a row share a 32-bit lane, as the dot-product instruction
// wants it, and the column's four numbers are broadcast from memory. Integer sums are exact; each block adds to a
// column's float sum by the same operations in the same order, whatever N is.

// Reading ahead so far keeps the memory bus busy (measured: 2 KB are 75, 8 KB 88 of 88 GB/s).
constexpr int kPrefetchBytes = 8192;

constexpr int kLanes = Isa::kLanes;
constexpr int kHalves = kGroupRows / kLanes;
using Ints = Isa::Ints;
using Floats = Isa::Floats;

// Chunk i of a block: four weights of each row. `half` picks the rows.
inline Ints chunk(const uint8_t* block, int i, int half) { return Isa::load(block + 64 * i + 4 * kLanes * half); }

inline void unpack_nibbles(const uint8_t* block, int half, Ints (&q)[8]) {
  const Ints low = Isa::splat8(15);
  for (int i = 0; i < 4; ++i) {
    const Ints v = chunk(block, i, half);
    q[i] = Isa::bit_and(v, low);
    q[i + 4] = Isa::bit_and(Isa::shift_right<4>(v), low);
  }
}

// The fifth bits of chunk i are bit i of each byte of one more chunk.
inline void add_fifth_bits(const uint8_t* plane, int half, Ints (&q)[8]) {
  const Ints high = chunk(plane, 0, half), bit = Isa::splat8(16);
  q[0] = Isa::merge(q[0], Isa::shift_left<4>(high), bit);
  q[1] = Isa::merge(q[1], Isa::shift_left<3>(high), bit);
  q[2] = Isa::merge(q[2], Isa::shift_left<2>(high), bit);
  q[3] = Isa::merge(q[3], Isa::shift_left<1>(high), bit);
  q[4] = Isa::merge(q[4], high, bit);
  q[5] = Isa::merge(q[5], Isa::shift_right<1>(high), bit);
  q[6] = Isa::merge(q[6], Isa::shift_right<2>(high), bit);
  q[7] = Isa::merge(q[7], Isa::shift_right<3>(high), bit);
}

// The upper two bits of chunks 0 to 3 are pairs of bits of one more chunk, of chunks 4 to 7 of another.
inline void add_upper_bits(const uint8_t* planes, int half, Ints (&q)[8]) {
  const Ints bits = Isa::splat8(48);
  for (int plane = 0; plane < 2; ++plane) {
    const Ints high = chunk(planes, plane, half);
    Ints* at = q + 4 * plane;
    at[0] = Isa::merge(at[0], Isa::shift_left<4>(high), bits);
    at[1] = Isa::merge(at[1], Isa::shift_left<2>(high), bits);
    at[2] = Isa::merge(at[2], high, bits);
    at[3] = Isa::merge(at[3], Isa::shift_right<2>(high), bits);
  }
}

// kOffset: weight = d (q - offset).  kMinimum: weight = d q + m.  kTwoScales: as kOffset, a d for each 16 weights.
enum Kind { kOffset, kMinimum, kTwoScales };

// Scales of a block, one lane per row; what `second` is depends on the kind.
struct Scales {
  Floats first, second;
};

struct NoHead {
  static Scales head(const uint8_t*, int) { return {Isa::zero(), Isa::zero()}; }
};

struct Q4_0 : NoHead {
  static constexpr Format kFormat = Format::kQ4_0;
  static constexpr Kind kKind = kOffset;
  static constexpr int kOffsetShift = 0;  // offset = 8 << shift
  static constexpr bool kWide = false;    // unsigned weights above 127
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) { unpack_nibbles(p, half, q); }
  static Scales scales(const uint8_t* p, int half, Scales) { return {Isa::f16(p + 256, half), Isa::zero()}; }
};

struct Q4_1 : NoHead {
  static constexpr Format kFormat = Format::kQ4_1;
  static constexpr Kind kKind = kMinimum;
  static constexpr int kOffsetShift = 0;
  static constexpr bool kWide = false;
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) { unpack_nibbles(p, half, q); }
  static Scales scales(const uint8_t* p, int half, Scales) { return {Isa::f16(p + 256, half), Isa::f16(p + 288, half)}; }
};

struct Q5_0 : NoHead {
  static constexpr Format kFormat = Format::kQ5_0;
  static constexpr Kind kKind = kOffset;
  static constexpr int kOffsetShift = 1;
  static constexpr bool kWide = false;
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) {
    unpack_nibbles(p, half, q);
    add_fifth_bits(p + 256, half, q);
  }
  static Scales scales(const uint8_t* p, int half, Scales) { return {Isa::f16(p + 320, half), Isa::zero()}; }
};

struct Q5_1 : NoHead {
  static constexpr Format kFormat = Format::kQ5_1;
  static constexpr Kind kKind = kMinimum;
  static constexpr int kOffsetShift = 0;
  static constexpr bool kWide = false;
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) { Q5_0::unpack(p, half, q); }
  static Scales scales(const uint8_t* p, int half, Scales) { return {Isa::f16(p + 320, half), Isa::f16(p + 352, half)}; }
};

struct Q8_0 : NoHead {
  static constexpr Format kFormat = Format::kQ8_0;
  static constexpr Kind kKind = kOffset;
  static constexpr int kOffsetShift = 4;
  static constexpr bool kWide = true;
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) {
    for (int i = 0; i < 8; ++i) q[i] = chunk(p, i, half);
  }
  static Scales scales(const uint8_t* p, int half, Scales) { return {Isa::f16(p + 512, half), Isa::zero()}; }
};

struct IQ4_NL : NoHead {
  static constexpr Format kFormat = Format::kIQ4_NL;
  static constexpr Kind kKind = kOffset;
  static constexpr int kOffsetShift = 4;
  static constexpr bool kWide = true;
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) {
    static constexpr uint8_t kValues[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                            129, 141, 153, 166, 181, 197, 217, 241};  // ggml's, plus 128
    unpack_nibbles(p, half, q);
    const Ints values = Isa::splat128(kValues);
    for (Ints& chunk : q) chunk = Isa::lookup(values, chunk);
  }
  static Scales scales(const uint8_t* p, int half, Scales) { return {Isa::f16(p + 256, half), Isa::zero()}; }
};

struct MXFP4 : NoHead {
  static constexpr Format kFormat = Format::kMXFP4;
  static constexpr Kind kKind = kOffset;
  static constexpr int kOffsetShift = 4;
  static constexpr bool kWide = true;
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) {
    static constexpr uint8_t kValues[16] = {128, 129, 130, 131, 132, 134, 136, 140,
                                            128, 127, 126, 125, 124, 122, 120, 116};  // twice e2m1, plus 128
    unpack_nibbles(p, half, q);
    const Ints values = Isa::splat128(kValues);
    for (Ints& chunk : q) chunk = Isa::lookup(values, chunk);
  }
  static Scales scales(const uint8_t* p, int half, Scales) { return {Isa::half_of_e8m0(p + 256 + kLanes * half), Isa::zero()}; }
};

// A super-block's d and minimum's d, times 6-bit factors for each 32 weights.
struct Q4_K {
  static constexpr Format kFormat = Format::kQ4_K;
  static constexpr Kind kKind = kMinimum;
  static constexpr int kOffsetShift = 0;
  static constexpr bool kWide = false;
  static constexpr int kFactors = 256;
  static Scales head(const uint8_t* p, int half) { return {Isa::f16(p, half), Isa::f16(p + 32, half)}; }
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) { unpack_nibbles(p, half, q); }
  static Scales scales(const uint8_t* p, int half, Scales head) { return factored(p + kFactors, half, head); }
  static Scales factored(const uint8_t* p, int half, Scales head) {
    return {Isa::mul(head.first, Isa::from_u8(p + kLanes * half)),
            Isa::negate(Isa::mul(head.second, Isa::from_u8(p + 16 + kLanes * half)))};
  }
};

struct Q5_K {
  static constexpr Format kFormat = Format::kQ5_K;
  static constexpr Kind kKind = kMinimum;
  static constexpr int kOffsetShift = 0;
  static constexpr bool kWide = false;
  static Scales head(const uint8_t* p, int half) { return Q4_K::head(p, half); }
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) { Q5_0::unpack(p, half, q); }
  static Scales scales(const uint8_t* p, int half, Scales head) { return Q4_K::factored(p + 320, half, head); }
};

struct Q6_K {
  static constexpr Format kFormat = Format::kQ6_K;
  static constexpr Kind kKind = kTwoScales;
  static constexpr int kOffsetShift = 2;
  static constexpr bool kWide = false;
  static Scales head(const uint8_t* p, int half) { return {Isa::f16(p, half), Isa::zero()}; }
  static void unpack(const uint8_t* p, int half, Ints (&q)[8]) {
    unpack_nibbles(p, half, q);
    add_upper_bits(p + 256, half, q);
  }
  static Scales scales(const uint8_t* p, int half, Scales head) {
    return {Isa::mul(head.first, Isa::from_s8(p + 384 + kLanes * half)),
            Isa::mul(head.first, Isa::from_s8(p + 400 + kLanes * half))};
  }
};

// A block of an int8 panel of N columns.
template <int N>
struct Int8Block {
  int32_t q[N][8];          // 32 signed bytes
  int32_t minus_8_sum[N];   // -8 times their sum, for the offset of unsigned weights
  int32_t minus_8_sums[2][N];  // the same of either 16
  float d[N];               // scale
  float sum[N];             // scale times their sum
};
static_assert(sizeof(Int8Block<3>) == 3 * kInt8PanelBytes);

template <class F, int N>
inline void tile_half(const uint8_t* p, int blocks, const Int8Block<N>* a, float* const* out, int rows, int half) {
  constexpr PackedLayout kLayout = kPackedLayouts[static_cast<int>(F::kFormat)];
  Floats sums[N];
  for (int j = 0; j < N; ++j) sums[j] = Isa::zero();
  for (int super = 0; super < blocks; super += kLayout.blocks) {
    const Scales head = F::head(p, half);
    p += kLayout.head;
    for (int b = 0; b < kLayout.blocks; ++b, p += kLayout.bytes, ++a) {
      for (int i = 0; i < kLayout.bytes; i += 64) Isa::prefetch(p + kPrefetchBytes + i);
      Ints q[8];
      F::unpack(p, half, q);
      const Scales scales = F::scales(p, half, head);
#pragma GCC unroll 16
      for (int j = 0; j < N; ++j) {
        if constexpr (F::kKind == kTwoScales) {
          Ints low = Isa::template shift_left32<F::kOffsetShift>(Isa::splat(a->minus_8_sums[0][j]));
          Ints high = Isa::template shift_left32<F::kOffsetShift>(Isa::splat(a->minus_8_sums[1][j]));
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i) {
            low = Isa::template dot<F::kWide>(low, q[i], a->q[j] + i);
            high = Isa::template dot<F::kWide>(high, q[i + 4], a->q[j] + i + 4);
          }
          const Floats both = Isa::fma(Isa::to_float(high), scales.second, Isa::mul(Isa::to_float(low), scales.first));
          sums[j] = Isa::fma(both, Isa::splat(a->d[j]), sums[j]);
        } else {
          Ints dot = Isa::splat(0);
          if constexpr (F::kKind == kOffset)
            dot = Isa::template shift_left32<F::kOffsetShift>(Isa::splat(a->minus_8_sum[j]));
#pragma GCC unroll 8
          for (int i = 0; i < 8; ++i) dot = Isa::template dot<F::kWide>(dot, q[i], a->q[j] + i);
          sums[j] = Isa::fma(Isa::to_float(dot), Isa::mul(scales.first, Isa::splat(a->d[j])), sums[j]);
          if constexpr (F::kKind == kMinimum) sums[j] = Isa::fma(scales.second, Isa::splat(a->sum[j]), sums[j]);
        }
      }
    }
  }
  for (int j = 0; j < N; ++j) Isa::store(out[j] + kLanes * half, sums[j], rows - kLanes * half);
}

template <class F, int N>
void tile(const uint8_t* group, int blocks, const void* panel, float* const* out, int rows) {
  for (int half = 0; half < kHalves; ++half)
    tile_half<F, N>(group, blocks, static_cast<const Int8Block<N>*>(panel), out, rows, half);
}

// f16 weights stay f16 in memory and are multiplied as floats. Two sums, of even and of odd weights, since one would
// wait for its own last addition.
struct F16 {
  static constexpr Format kFormat = Format::kF16;
  static void pair(const uint8_t* p, int half, Floats& even, Floats& odd) {
    even = Isa::f16(p, half);
    odd = Isa::f16(p + 32, half);
  }
};

struct BF16 {
  static constexpr Format kFormat = Format::kBF16;
  static void pair(const uint8_t* p, int half, Floats& even, Floats& odd) {
    const Ints both = chunk(p, 0, half);
    even = Isa::as_float(Isa::template shift_left32<16>(both));
    odd = Isa::as_float(Isa::bit_and(both, Isa::splat(static_cast<int32_t>(0xFFFF0000))));
  }
};

template <int N>
struct FloatBlock {
  float x[kBlockWeights][N];
};
static_assert(sizeof(FloatBlock<3>) == 3 * kFloatPanelBytes);

template <class F, int N>
void float_tile(const uint8_t* group, int blocks, const void* panel, float* const* out, int rows) {
  for (int half = 0; half < kHalves; ++half) {
    const uint8_t* p = group;
    const auto* a = static_cast<const FloatBlock<N>*>(panel);
    Floats even[N], odd[N];
    for (int j = 0; j < N; ++j) even[j] = odd[j] = Isa::zero();
    for (int b = 0; b < blocks; ++b, ++a)
      for (int k = 0; k < kBlockWeights; k += 2, p += 64) {
        Isa::prefetch(p + kPrefetchBytes);
        Floats first, second;
        F::pair(p, half, first, second);
#pragma GCC unroll 16
        for (int j = 0; j < N; ++j) {
          even[j] = Isa::fma(first, Isa::splat(a->x[k][j]), even[j]);
          odd[j] = Isa::fma(second, Isa::splat(a->x[k + 1][j]), odd[j]);
        }
      }
    for (int j = 0; j < N; ++j)
      Isa::store(out[j] + kLanes * half, Isa::add(even[j], odd[j]), rows - kLanes * half);
  }
}

// Where a column's numbers stand in a block of an int8 panel of n columns.
struct Int8Place {
  int8_t* q;            // 32
  int32_t* minus_8_sum;  // and of either half, n and 2 n further
  float* d;             // and the scaled sum, n further

  Int8Place(void* panel, int n, int block, int column) {
    char* at = static_cast<char*>(panel) + static_cast<size_t>(block) * n * kInt8PanelBytes;
    q = reinterpret_cast<int8_t*>(at) + kBlockWeights * column;
    minus_8_sum = reinterpret_cast<int32_t*>(at + kBlockWeights * n) + column;
    d = reinterpret_cast<float*>(minus_8_sum + 3 * n);
  }
  void put(int n, float scale, int32_t first_sum, int32_t second_sum) const {
    minus_8_sum[0] = -8 * (first_sum + second_sum);
    minus_8_sum[n] = -8 * first_sum;
    minus_8_sum[2 * n] = -8 * second_sum;
    d[0] = scale;
    d[n] = scale * static_cast<float>(first_sum + second_sum);
  }
};

// The columns' numbers as signed bytes with one scale for 32 of them: the largest becomes 127.
inline void int8_panel(const float* const* columns, int n, int begin, int end, void* panel) {
  constexpr int kAtOnce = Isa::kQuantised;
  for (int j = 0; j < n; ++j) {
    int b = begin;
    float scales[kAtOnce];
    int32_t sums[kAtOnce][2];
    int8_t* q[kAtOnce];
    for (; b + kAtOnce <= end; b += kAtOnce) {
      for (int i = 0; i < kAtOnce; ++i) q[i] = Int8Place(panel, n, b + i, j).q;
      Isa::quantise_several(columns[j] + b * kBlockWeights, q, scales, sums);
      for (int i = 0; i < kAtOnce; ++i) Int8Place(panel, n, b + i, j).put(n, scales[i], sums[i][0], sums[i][1]);
    }
    for (; b < end; ++b) {
      const Int8Place place(panel, n, b, j);
      const float scale = Isa::quantise(columns[j] + b * kBlockWeights, place.q, sums[0]);
      place.put(n, scale, sums[0][0], sums[0][1]);
    }
  }
}

inline void float_panel(const float* const* columns, int n, int begin, int end, void* panel) {
  auto* x = static_cast<float*>(panel) + static_cast<size_t>(begin) * kBlockWeights * n;
  for (int k = begin * kBlockWeights; k < end * kBlockWeights; ++k)
    for (int j = 0; j < n; ++j) *x++ = columns[j][k];
}

// tiles[N - 1] for N = 1 to `most`.
template <class F, int N>
void fill_tiles(TileFunction* tiles) {
  if constexpr (N > 0) {
    fill_tiles<F, N - 1>(tiles);
    tiles[N - 1] = tile<F, N>;
  }
}

template <class F, int N>
void fill_float_tiles(TileFunction* tiles) {
  if constexpr (N > 0) {
    fill_float_tiles<F, N - 1>(tiles);
    tiles[N - 1] = float_tile<F, N>;
  }
}

template <class F>
void add_format(KernelSet& set) {
  const int format = static_cast<int>(F::kFormat);
  set.columns[format] = Isa::kColumns;
  set.panel_kinds[format] = PanelKind::kInt8;
  fill_tiles<F, Isa::kColumns>(set.tiles[format]);
}

template <class F>
void add_float_format(KernelSet& set) {
  const int format = static_cast<int>(F::kFormat);
  set.columns[format] = Isa::kFloatColumns;
  set.panel_kinds[format] = PanelKind::kFloat;
  fill_float_tiles<F, Isa::kFloatColumns>(set.tiles[format]);
}

inline void add_all_formats(KernelSet& set) {
  set.panels[static_cast<int>(PanelKind::kInt8)] = int8_panel;
  set.panels[static_cast<int>(PanelKind::kFloat)] = float_panel;
  add_format<Q4_0>(set);
  add_format<Q4_1>(set);
  add_format<Q5_0>(set);
  add_format<Q5_1>(set);
  add_format<Q8_0>(set);
  add_format<Q4_K>(set);
  add_format<Q5_K>(set);
  add_format<Q6_K>(set);
  add_format<IQ4_NL>(set);
  add_format<MXFP4>(set);
  add_float_format<F16>(set);
  add_float_format<BF16>(set);
}
