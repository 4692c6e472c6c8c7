// Attention's inner loops, in terms of an instruction set's `Isa`; included after tile.inl.
//
// Keys of a chunk of cells are turned so that a lane is a cell; then a score is a chain of multiply-adds without sums
// across lanes, and one turning serves all queries. Values are read as they lie. A query's partial sum depends on its
// own numbers, the chunk's cells and its mask only.

// e^x for x <= 0, relative error below 2e-7 (Cephes' expf); below -87 it is 0, not a denormal.
inline Floats exp_of_negative(Floats x) {
  const Floats least = Isa::splat(-87.0f);
  const Floats clamped = Isa::max(x, least);
  const Floats n = Isa::round(Isa::mul(clamped, Isa::splat(1.44269504f)));
  Floats r = Isa::fma(n, Isa::splat(-0.693359375f), clamped);
  r = Isa::fma(n, Isa::splat(2.12194440e-4f), r);
  Floats p = Isa::splat(1.9875691500e-4f);
  p = Isa::fma(p, r, Isa::splat(1.3981999507e-3f));
  p = Isa::fma(p, r, Isa::splat(8.3334519073e-3f));
  p = Isa::fma(p, r, Isa::splat(4.1665795894e-2f));
  p = Isa::fma(p, r, Isa::splat(1.6666665459e-1f));
  p = Isa::fma(p, r, Isa::splat(5.0000001201e-1f));
  const Floats e = Isa::mul(Isa::add(Isa::fma(Isa::mul(p, r), r, r), Isa::splat(1.0f)), Isa::power_of_two(n));
  return Isa::zero_below(x, least, e);
}

inline float exp_of_negative(float x) {
  float lanes[kLanes];
  Isa::store(lanes, exp_of_negative(Isa::splat(x)), kLanes);
  return lanes[0];
}

constexpr int kCellVectors = kChunkCells / kLanes;

// Scores of N queries, then their exponentials into `weights` (kChunkCells floats each).
template <int N>
inline void score(const AttentionChunk& c, int first, const float* keys, float* weights, float* const* partials) {
  Floats s[N][kCellVectors];
  // Cell vectors in passes of two for fewer registers: the order of a lane's additions stays that of `dk`.
  constexpr int kPass = kLanes == 16 ? kCellVectors : 2;
  for (int v0 = 0; v0 < kCellVectors; v0 += kPass) {
    Floats sum[N][kPass];
    for (int i = 0; i < N; ++i)
      for (int v = 0; v < kPass; ++v) sum[i][v] = Isa::zero();
    for (int d = 0; d < c.dk; ++d) {
      Floats key[kPass];
      for (int v = 0; v < kPass; ++v) key[v] = Isa::load_floats(keys + d * kChunkCells + (v0 + v) * kLanes);
#pragma GCC unroll 4
      for (int i = 0; i < N; ++i) {
        const Floats q = Isa::splat(c.q[first + i][d]);
#pragma GCC unroll 4
        for (int v = 0; v < kPass; ++v) sum[i][v] = Isa::fma(q, key[v], sum[i][v]);
      }
    }
    for (int i = 0; i < N; ++i)
      for (int v = 0; v < kPass; ++v) s[i][v0 + v] = sum[i][v];
  }
  const float infinity = __builtin_inff();
  for (int i = 0; i < N; ++i) {
    float row[kChunkCells];
    Floats most = Isa::splat(-infinity);
    for (int v = 0; v < kCellVectors; ++v) {
      Floats x = Isa::mul(s[i][v], Isa::splat(c.scale));
      if (c.softcap != 0) {
        // tanh(y) = 1 - 2 / (1 + e^2y), by the exponential of what is negative
        const Floats y = Isa::mul(x, Isa::splat(2.0f / c.softcap));
        const Floats e = exp_of_negative(Isa::negate(Isa::max(y, Isa::negate(y))));
        const Floats one = Isa::splat(1.0f);
        const Floats size = Isa::divide(Isa::subtract(one, e), Isa::add(one, e));
        x = Isa::mul(Isa::splat(c.softcap), Isa::copy_sign(size, y));
      }
      if (c.mask) {
        const Floats mask = Isa::f16(c.mask[first + i] + v * kLanes, 0);
        x = c.slopes ? Isa::fma(mask, Isa::splat(c.slopes[first + i]), x) : Isa::add(mask, x);
      }
      Isa::store(row + v * kLanes, x, kLanes);
    }
    for (int v = 0; v < kCellVectors; ++v) most = Isa::max(most, Isa::load_floats(row + v * kLanes));
    const float top = Isa::largest(most);
    partials[first + i][0] = top;
    float* out = weights + i * kChunkCells;
    if (top == -infinity) {
      partials[first + i][1] = 0;
      for (int k = 0; k < kChunkCells; ++k) out[k] = 0;
      continue;
    }
    // Sixteen sums side by side for every width of vector, then one order over them.
    float lanes[16] = {};
    for (int v = 0; v < kCellVectors; ++v) {
      const Floats e = exp_of_negative(Isa::subtract(Isa::load_floats(row + v * kLanes), Isa::splat(top)));
      Isa::store(out + v * kLanes, e, kLanes);
      float* at = lanes + v * kLanes % 16;
      Isa::store(at, Isa::add(Isa::load_floats(at), e), kLanes);
    }
    float total = 0;
    for (float lane : lanes) total += lane;
    partials[first + i][1] = total;
  }
}

// Adds up the values of `Vectors` vectors from dimension d on, for N queries.
template <int N, int Vectors>
inline void weigh(const AttentionChunk& c, int first, int d, const float* weights, float* const* partials) {
  Floats sum[N][Vectors];
  for (int i = 0; i < N; ++i)
    for (int v = 0; v < Vectors; ++v) sum[i][v] = Isa::zero();
  const uint8_t* value = c.v + 2 * d;
  for (int k = 0; k < kChunkCells; ++k, value += c.v_stride) {
    Floats x[Vectors];
    for (int v = 0; v < Vectors; ++v) x[v] = Isa::f16(value + 2 * kLanes * v, 0);
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) {
      const Floats weight = Isa::splat(weights[i * kChunkCells + k]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[i][v] = Isa::fma(weight, x[v], sum[i][v]);
    }
  }
  for (int i = 0; i < N; ++i)
    for (int v = 0; v < Vectors; ++v)
      Isa::store(partials[first + i] + kPartialHead + d + v * kLanes, sum[i][v], kLanes);
}

template <int N>
void attend_block(const AttentionChunk& c, int first, float* const* partials) {
  float* weights = c.scratch + kChunkCells * c.dk;
  score<N>(c, first, c.scratch, weights, partials);
  constexpr int kVectors = kLanes == 16 ? 4 : 2;
  int d = 0;
  for (; d + kVectors * kLanes <= c.dv; d += kVectors * kLanes) weigh<N, kVectors>(c, first, d, weights, partials);
  for (; d < c.dv; d += kLanes) weigh<N, 1>(c, first, d, weights, partials);
}

// Cells of one head lie apart, which the CPU doesn't foresee.
inline void fetch(const uint8_t* cells, size_t stride, int n, int bytes) {
  for (int cell = 0; cell < n; ++cell, cells += stride)
    for (int byte = 0; byte < bytes; byte += 64) Isa::prefetch(cells + byte);
}

void attend(const AttentionChunk& c, float* const* partials) {
  fetch(c.later_k, c.k_stride, c.later_cells, c.later_bytes);
  for (int cell = 0; cell < kChunkCells; cell += kLanes)
    Isa::transpose(c.k + cell * c.k_stride, c.k_stride, c.dk, c.scratch + cell, kChunkCells);
  fetch(c.later_v, c.v_stride, c.later_cells, c.later_bytes);
  int first = 0;
  for (; first + 4 <= c.queries; first += 4) attend_block<4>(c, first, partials);
  if (c.queries - first == 3) attend_block<3>(c, first, partials);
  if (c.queries - first == 2) attend_block<2>(c, first, partials);
  if (c.queries - first == 1) attend_block<1>(c, first, partials);
}

void fold(float* sum, const float* later, int dv) {
  const float infinity = __builtin_inff();
  if (later[0] == -infinity) return;
  const float top = sum[0] > later[0] ? sum[0] : later[0];
  const float a = sum[0] == -infinity ? 0 : exp_of_negative(sum[0] - top), b = exp_of_negative(later[0] - top);
  sum[0] = top;
  sum[1] = __builtin_fmaf(sum[1], a, later[1] * b);
  const Floats fa = Isa::splat(a), fb = Isa::splat(b);
  for (int d = kPartialHead; d < kPartialHead + dv; d += kLanes)
    Isa::store(sum + d, Isa::fma(Isa::load_floats(sum + d), fa, Isa::mul(Isa::load_floats(later + d), fb)), kLanes);
}

void add_attention(KernelSet& set) {
  set.attend = attend;
  set.fold = fold;
}
