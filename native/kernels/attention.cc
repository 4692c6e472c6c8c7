// Who computes what. A query's cells are cut into chunks of 64, always at the same places, and the chunks' partial
// sums are added from the first to the last. So it doesn't matter who computes which chunk:
// - few rows: the work is (head, chunk), the partial sums meet in shared memory and are added after a barrier;
// - many rows: the work is (head, some rows), chunk after chunk, and nothing is shared.
//
// A row beside the chain of a token tree doesn't see all cells of its batch up to its own. What it sees is moved
// together before it is cut into chunks: so its result is that of a batch in which its path alone stands.
//
// Where several sequences share a cache, each token of theirs goes to the next free cell, so that soon every chunk has
// cells of all of them. There the cells that a sequence's rows see are moved together too, and a row's time is that of its
// own sequence's length.
#include "kernels/attention.h"

#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <ggml-cpu-impl.h>

#include "kernels/huge_pages.h"

namespace adaptive_spec {
namespace {

// Partial sums of up to so many bytes are shared; and of more where without sharing there is too little work for all
// threads.
constexpr size_t kSharedFreely = 4 << 20, kMostShared = 64 << 20;
// Rows of the batch that turn a chunk's keys once, where nothing is shared.
constexpr int64_t kRowBlock = 32;

// A row that sees cells of its batch with others between them: what it sees from some chunk on.
struct GappedRow {
  int64_t row;
  std::vector<int32_t> cells;
};

// Rows that begin to see at the same cell, which are those of one sequence, and the cells that any of them sees.
struct View {
  std::vector<int64_t> rows;   // ascending
  std::vector<int32_t> cells;  // ascending

  int64_t chunks() const { return (static_cast<int64_t>(cells.size()) + kChunkCells - 1) / kChunkCells; }
};

// A chunk of a view's cells, from some head of keys on.
struct ViewChunk {
  const View* view;
  int64_t chunk, key_head;

  const int32_t* cells() const { return view->cells.data() + chunk * kChunkCells; }
  int64_t count() const { return std::min<int64_t>(view->cells.size() - chunk * kChunkCells, kChunkCells); }
  // A prompt's cells lie side by side as it is.
  bool is_moved() const { return count() < kChunkCells || cells()[count() - 1] - cells()[0] != kChunkCells - 1; }
};

// All of a mask's views. Every layer with this mask has them.
struct Views {
  const void* mask;
  std::vector<View> views;
};

struct ThreadState {
  std::vector<float> scratch, partial, sums;
  std::vector<const float*> queries;
  std::vector<const uint16_t*> masks;
  std::vector<float> slopes;
  std::vector<float*> partials;
  std::vector<GappedRow> gapped;  // the first `gapped_rows`, rows ascending
  size_t gapped_rows = 0;
  int64_t first_gapped_chunk = 0;
  std::vector<uint8_t> moved_k, moved_v;
  std::vector<uint16_t> moved_masks;
  uint64_t batch = 0;  // that views are of
  std::vector<Views> views;
  std::vector<ViewChunk> chunks;  // that this thread computes
};
thread_local ThreadState state;

// The node's tensors and numbers by name.
struct Node {
  const ggml_tensor *q, *k, *v, *mask, *sinks;
  ggml_tensor* out;
  int64_t dk, dv, rows, heads, key_heads, cells, streams, chunks;
  float scale, max_bias, softcap;

  explicit Node(const ggml_tensor* op)
      : q(op->src[0]),
        k(op->src[1]),
        v(op->src[2]),
        mask(op->src[3]),
        sinks(op->src[4]),
        out(const_cast<ggml_tensor*>(op)),
        dk(k->ne[0]),
        dv(v->ne[0]),
        rows(q->ne[1]),
        heads(q->ne[2]),
        key_heads(k->ne[2]),
        cells(k->ne[1]),
        streams(q->ne[3]),
        chunks(cells / kChunkCells) {
    const auto* params = reinterpret_cast<const float*>(op->op_params);
    scale = params[0];
    max_bias = params[1];
    softcap = params[2];
  }

  int64_t queries() const { return rows * heads * streams; }
  int64_t partial_floats() const { return kPartialHead + dv; }
  size_t shared_bytes() const { return static_cast<size_t>(queries()) * chunks * partial_floats() * sizeof(float); }
  int64_t row_blocks() const { return (rows + kRowBlock - 1) / kRowBlock; }
  bool shares(int threads) const {
    const bool idle = streams * key_heads * row_blocks() < 2 * threads;
    return shared_bytes() <= (idle ? kMostShared : kSharedFreely);
  }
  float slope(int64_t head) const {
    if (max_bias <= 0) return 1;
    const auto below = static_cast<float>(1 << static_cast<int>(std::floor(std::log2(static_cast<float>(heads)))));
    const float m0 = std::pow(2.0f, -max_bias / below), m1 = std::pow(2.0f, -max_bias / 2.0f / below);
    return static_cast<float>(head) < below ? std::pow(m0, static_cast<float>(head + 1))
                                            : std::pow(m1, 2 * (static_cast<float>(head) - below) + 1);
  }
};

template <class T>
const T* at(const ggml_tensor* t, int64_t i1, int64_t i2, int64_t i3) {
  return reinterpret_cast<const T*>(static_cast<const char*>(t->data) + i1 * t->nb[1] + i2 * t->nb[2] +
                                    i3 * t->nb[3]);
}

// Whether a row of a chunk's mask has something else than minus infinity.
bool any_visible(const uint16_t* mask) {
  constexpr uint64_t kFourHidden = 0xFC00FC00FC00FC00;
  for (int i = 0; i < kChunkCells; i += 4) {
    uint64_t four;
    std::memcpy(&four, mask + i, sizeof four);
    if (four != kFourHidden) return true;
  }
  return false;
}

// The queries of rows [begin, end) that read one head of keys, over one chunk. `partial_at(row, head)` says where a
// query's partial sum goes. Queries that see nothing of the chunk get minus infinity alone.
// The head and the chunk that one piece of work reads.
struct Place {
  int64_t stream, key_head, chunk;

  const uint8_t* keys(const Node& n) const {
    return at<uint8_t>(n.k, chunk * kChunkCells, key_head, stream / (n.streams / n.k->ne[3]));
  }
  const uint8_t* values(const Node& n) const {
    return at<uint8_t>(n.v, chunk * kChunkCells, key_head, stream / (n.streams / n.v->ne[3]));
  }
};

// Cells that are read later.
struct Later {
  const uint8_t *k = nullptr, *v = nullptr;
  int cells = 0, bytes = 0;
};

constexpr uint16_t kHidden = 0xFC00;  // minus infinity in f16

// The last cell that a row sees, or -1.
int64_t last_visible(const Node& n, const uint16_t* mask) {
  int64_t chunk = n.chunks - 1;
  while (chunk >= 0 && !any_visible(mask + chunk * kChunkCells)) --chunk;
  int64_t cell = (chunk + 1) * kChunkCells - 1;
  while (cell >= 0 && mask[cell] == kHidden) --cell;
  return cell;
}

// Finds the rows with gaps: in the cells from the one that the batch's first row was written to. Each thread does, for
// it is less than meeting would take.
void find_gaps(const Node& n, bool has_branches) {
  ThreadState& s = state;
  s.gapped_rows = 0;
  if (!has_branches || !n.mask || n.streams != 1) return;
  const int64_t first = last_visible(n, at<uint16_t>(n.mask, 0, 0, 0));
  if (first < 0) return;
  s.first_gapped_chunk = first / kChunkCells;
  for (int64_t row = 1; row < n.rows; ++row) {
    const uint16_t* mask = at<uint16_t>(n.mask, row, 0, 0);
    // Rows of other sequences don't see that cell.
    if (mask[first] == kHidden) continue;
    const int64_t last = last_visible(n, mask);
    if (std::find(mask + first, mask + std::max(first, last), kHidden) == mask + std::max(first, last)) continue;
    if (s.gapped.size() == s.gapped_rows) s.gapped.emplace_back();
    GappedRow& gapped = s.gapped[s.gapped_rows++];
    gapped.row = row;
    gapped.cells.clear();
    for (int64_t cell = s.first_gapped_chunk * kChunkCells; cell <= last; ++cell)
      if (mask[cell] != kHidden) gapped.cells.push_back(static_cast<int32_t>(cell));
  }
}

// One head of keys, over what stands in the place's chunk once a row's cells are moved together.
template <class PartialAt>
void attend_gapped(const KernelSet& kernels, const Node& n, const Place& place, const GappedRow& gapped,
                   PartialAt partial_at) {
  ThreadState& s = state;
  const int64_t share = n.heads / n.key_heads, done = (place.chunk - s.first_gapped_chunk) * kChunkCells;
  const int64_t count = std::clamp<int64_t>(static_cast<int64_t>(gapped.cells.size()) - done, 0, kChunkCells);
  if (count == 0) {
    for (int64_t head = place.key_head * share; head < (place.key_head + 1) * share; ++head)
      partial_at(gapped.row, head)[0] = -std::numeric_limits<float>::infinity();
    return;
  }
  const size_t k_bytes = 2 * n.dk, v_bytes = 2 * n.dv;
  s.moved_k.assign(kChunkCells * k_bytes, 0);
  s.moved_v.assign(kChunkCells * v_bytes, 0);
  const Place start{place.stream, place.key_head, 0};
  const uint8_t *keys = start.keys(n), *values = start.values(n);
  for (int64_t i = 0; i < count; ++i) {
    const size_t cell = gapped.cells[done + i];
    std::memcpy(s.moved_k.data() + i * k_bytes, keys + cell * n.k->nb[1], k_bytes);
    std::memcpy(s.moved_v.data() + i * v_bytes, values + cell * n.v->nb[1], v_bytes);
  }
  uint16_t moved_mask[kChunkCells];
  const uint16_t* masks[] = {moved_mask};
  for (int64_t head = place.key_head * share; head < (place.key_head + 1) * share; ++head) {
    const auto* mask = at<uint16_t>(n.mask, gapped.row, head % n.mask->ne[2], 0);
    std::fill(std::begin(moved_mask), std::end(moved_mask), kHidden);
    for (int64_t i = 0; i < count; ++i) moved_mask[i] = mask[gapped.cells[done + i]];
    const auto* query = at<float>(n.q, gapped.row, head, place.stream);
    const float slope = n.slope(head);
    float* partial = partial_at(gapped.row, head);
    const AttentionChunk work{
        .k = s.moved_k.data(),
        .v = s.moved_v.data(),
        .k_stride = k_bytes,
        .v_stride = v_bytes,
        .later_k = nullptr,
        .later_v = nullptr,
        .later_cells = 0,
        .later_bytes = 0,
        .dk = static_cast<int>(n.dk),
        .dv = static_cast<int>(n.dv),
        .queries = 1,
        .q = &query,
        .mask = masks,
        .slopes = n.max_bias > 0 ? &slope : nullptr,
        .scale = n.scale,
        .softcap = n.softcap,
        .scratch = s.scratch.data(),
    };
    kernels.attend(work, &partial);
  }
}

template <class PartialAt>
void attend_chunk(const KernelSet& kernels, const Node& n, const Place& place, const Later& later, int64_t begin,
                  int64_t end, PartialAt partial_at) {
  const auto [stream, key_head, chunk] = place;
  const int64_t share = n.heads / n.key_heads;
  ThreadState& s = state;
  s.queries.clear();
  s.masks.clear();
  s.slopes.clear();
  s.partials.clear();
  s.scratch.resize(kAttentionScratch(static_cast<int>(n.dk)));
  const GappedRow* gapped = s.gapped.data();
  const GappedRow* const gapped_end = gapped + (chunk < s.first_gapped_chunk ? 0 : s.gapped_rows);
  while (gapped != gapped_end && gapped->row < begin) ++gapped;
  for (int64_t row = begin; row < end; ++row) {
    if (gapped != gapped_end && gapped->row == row) {
      attend_gapped(kernels, n, place, *gapped++, partial_at);
      continue;
    }
    const uint16_t* mask = nullptr;
    bool visible = true;
    for (int64_t head = key_head * share; head < (key_head + 1) * share; ++head) {
      float* partial = partial_at(row, head);
      if (n.mask && (!mask || n.mask->ne[2] > 1)) {  // most often all heads have one
        mask = at<uint16_t>(n.mask, row, head % n.mask->ne[2], stream % n.mask->ne[3]) + chunk * kChunkCells;
        visible = any_visible(mask);
      }
      if (!visible) {
        partial[0] = -std::numeric_limits<float>::infinity();
        continue;
      }
      if (mask) s.masks.push_back(mask);
      s.queries.push_back(at<float>(n.q, row, head, stream));
      s.slopes.push_back(n.slope(head));
      s.partials.push_back(partial);
    }
  }
  if (s.queries.empty()) return;
  const AttentionChunk work{
      .k = place.keys(n),
      .v = place.values(n),
      .k_stride = n.k->nb[1],
      .v_stride = n.v->nb[1],
      .later_k = later.k,
      .later_v = later.v,
      .later_cells = later.cells,
      .later_bytes = later.bytes,
      .dk = static_cast<int>(n.dk),
      .dv = static_cast<int>(n.dv),
      .queries = static_cast<int>(s.queries.size()),
      .q = s.queries.data(),
      .mask = n.mask ? s.masks.data() : nullptr,
      .slopes = n.max_bias > 0 ? s.slopes.data() : nullptr,
      .scale = n.scale,
      .softcap = n.softcap,
      .scratch = s.scratch.data(),
  };
  kernels.attend(work, s.partials.data());
}

// Divides by the sum of weights and writes the query's row. A sink is a weight without a value.
void finish(const Node& n, int64_t stream, int64_t row, int64_t head, float* sum) {
  float scale = 1, total = sum[1];
  if (n.sinks) {
    const float sink = static_cast<const float*>(n.sinks->data)[head];
    if (sink > sum[0]) {
      scale = std::exp(sum[0] - sink);
      total = total * scale + 1;
    } else {
      total += std::exp(sink - sum[0]);
    }
  }
  const float factor = total == 0 ? 0 : scale / total;
  float* out = const_cast<float*>(at<float>(n.out, head, row, stream));
  for (int64_t d = 0; d < n.dv; ++d) out[d] = sum[kPartialHead + d] * factor;
}

void clear_sum(float* sum, int64_t dv) {
  std::memset(sum, 0, (kPartialHead + dv) * sizeof(float));
  sum[0] = -std::numeric_limits<float>::infinity();
}

// Chunks up to the last one that the last row sees; the cache is padded beyond.
int64_t chunks_in_use(const Node& n) {
  int64_t chunks = n.chunks;
  if (!n.mask) return chunks;
  const uint16_t* mask = at<uint16_t>(n.mask, n.rows - 1, 0, 0);
  while (chunks > 0 && !any_visible(mask + (chunks - 1) * kChunkCells)) --chunks;
  return chunks;
}

void attend_sharing(const KernelSet& kernels, const ggml_compute_params* params, const Node& n) {
  auto* shared = static_cast<float*>(params->wdata);
  const int64_t floats = n.partial_floats();
  const auto query = [&](int64_t stream, int64_t row, int64_t head) {
    return (stream * n.rows + row) * n.heads + head;
  };
  // In memory a cell's heads lie side by side, so a thread takes a chunk with all of them where there are enough chunks
  // for all threads. The last chunks are hidden from most rows: neighbours go to different threads.
  const int64_t items = n.streams * n.chunks * n.key_heads;
  const int64_t run = n.streams * chunks_in_use(n) >= 2 * params->nth ? n.key_heads : 1;
  const auto place_of = [&](int64_t i) {
    return Place{i / n.key_heads / n.chunks, i % n.key_heads, i / n.key_heads % n.chunks};
  };
  for (int64_t first = params->ith * run; first < items; first += params->nth * run)
    for (int64_t item = first; item < first + run; ++item) {
      const Place place = place_of(item);
      // A share of this thread's next cells, with all heads that it will compute.
      const int64_t next = first + params->nth * run, begin = kChunkCells * (item - first) / run,
                    end = kChunkCells * (item - first + 1) / run;
      Later later;
      if (next < items)
        later = {place_of(next).keys(n) + begin * n.k->nb[1], place_of(next).values(n) + begin * n.v->nb[1],
                 static_cast<int>(end - begin), static_cast<int>(2 * run * std::min(n.dk, n.dv))};
      attend_chunk(kernels, n, place, later, 0, n.rows, [&](int64_t row, int64_t head) {
        return shared + (query(place.stream, row, head) * n.chunks + place.chunk) * floats;
      });
    }
  ggml_barrier(params->threadpool);
  state.sums.resize(floats);
  float* sum = state.sums.data();
  for (int64_t i = n.queries() * params->ith / params->nth; i < n.queries() * (params->ith + 1) / params->nth; ++i) {
    clear_sum(sum, n.dv);
    for (int64_t chunk = 0; chunk < n.chunks; ++chunk)
      kernels.fold(sum, shared + (i * n.chunks + chunk) * floats, static_cast<int>(n.dv));
    finish(n, i / n.heads / n.rows, i / n.heads % n.rows, i % n.heads, sum);
  }
}

void attend_alone(const KernelSet& kernels, const ggml_compute_params* params, const Node& n) {
  const int64_t floats = n.partial_floats(), share = n.heads / n.key_heads;
  const int64_t row_blocks = n.row_blocks(), items = n.streams * n.key_heads * row_blocks;
  state.partial.resize(kRowBlock * share * floats);
  state.sums.resize(kRowBlock * share * floats);
  // Later rows see more cells, so neighbours go to different threads.
  for (int64_t item = params->ith; item < items; item += params->nth) {
    const int64_t block = item % row_blocks, key_head = item / row_blocks % n.key_heads,
                  stream = item / row_blocks / n.key_heads;
    const int64_t begin = block * kRowBlock, end = std::min(n.rows, begin + kRowBlock);
    const auto local = [&](std::vector<float>& floats_of, int64_t row, int64_t head) {
      return floats_of.data() + ((row - begin) * share + head - key_head * share) * floats;
    };
    for (int64_t i = 0; i < (end - begin) * share; ++i) clear_sum(state.sums.data() + i * floats, n.dv);
    for (int64_t chunk = 0; chunk < n.chunks; ++chunk) {
      attend_chunk(kernels, n, {stream, key_head, chunk}, {}, begin, end,
                   [&](int64_t row, int64_t head) { return local(state.partial, row, head); });
      for (int64_t i = 0; i < (end - begin) * share; ++i)
        kernels.fold(state.sums.data() + i * floats, state.partial.data() + i * floats, static_cast<int>(n.dv));
    }
    for (int64_t row = begin; row < end; ++row)
      for (int64_t head = key_head * share; head < (key_head + 1) * share; ++head)
        finish(n, stream, row, head, local(state.sums, row, head));
  }
}

// Each thread finds them for itself, once in a batch.
const std::vector<View>& find_views(const Node& n, uint64_t batch) {
  ThreadState& s = state;
  if (s.batch != batch) s.views.clear();
  s.batch = batch;
  for (const Views& known : s.views)
    if (known.mask == n.mask->data) return known.views;
  std::vector<View>& views = s.views.emplace_back(Views{n.mask->data, {}}).views;
  std::vector<int64_t> first_cells;
  for (int64_t row = 0; row < n.rows; ++row) {
    const auto* mask = at<uint16_t>(n.mask, row, 0, 0);
    int64_t first = 0;
    while (first < n.cells && !any_visible(mask + first)) first += kChunkCells;
    while (first < n.cells && mask[first] == kHidden) ++first;
    const size_t i = std::find(first_cells.begin(), first_cells.end(), first) - first_cells.begin();
    if (i == views.size()) {
      first_cells.push_back(first);
      views.emplace_back();
    }
    views[i].rows.push_back(row);
  }
  std::vector<uint8_t> seen(n.cells);
  for (View& view : views) {
    std::fill(seen.begin(), seen.end(), 0);
    for (const int64_t row : view.rows) {
      const auto* mask = at<uint16_t>(n.mask, row, 0, 0);
      for (int64_t cell = 0; cell < n.cells; ++cell) seen[cell] |= mask[cell] != kHidden;
    }
    for (int64_t cell = 0; cell < n.cells; ++cell)
      if (seen[cell]) view.cells.push_back(static_cast<int32_t>(cell));
  }
  return views;
}

// Asks for cells [begin, end) of a chunk, `heads` heads of keys of each, before they are read: they lie apart, which the
// CPU doesn't foresee.
void fetch(const Node& n, const ViewChunk& c, int64_t heads, int64_t begin, int64_t end) {
  constexpr int64_t kLine = 64;
  const Place start{0, c.key_head, 0};
  const uint8_t *k = start.keys(n), *v = start.values(n);
  for (int64_t i = begin; i < std::min(end, c.count()); ++i) {
    const size_t cell = c.cells()[i];
    for (int64_t byte = 0; byte < 2 * n.dk * heads; byte += kLine) __builtin_prefetch(k + cell * n.k->nb[1] + byte);
    for (int64_t byte = 0; byte < 2 * n.dv * heads; byte += kLine) __builtin_prefetch(v + cell * n.v->nb[1] + byte);
  }
}

// Puts the cells of a chunk side by side, head after head; what is missing to a whole chunk is zero.
void move_cells(const Node& n, const ViewChunk& c, int64_t heads) {
  ThreadState& s = state;
  const size_t k_bytes = 2 * n.dk, v_bytes = 2 * n.dv;
  s.moved_k.resize(heads * kChunkCells * k_bytes);
  s.moved_v.resize(heads * kChunkCells * v_bytes);
  const Place start{0, c.key_head, 0};
  const uint8_t *k = start.keys(n), *v = start.values(n);
  const int64_t count = c.count();
  // A cell's heads lie side by side in the cache.
  for (int64_t i = 0; i < count; ++i) {
    const size_t cell = c.cells()[i];
    for (int64_t h = 0; h < heads; ++h) {
      std::memcpy(s.moved_k.data() + (h * kChunkCells + i) * k_bytes, k + cell * n.k->nb[1] + h * n.k->nb[2], k_bytes);
      std::memcpy(s.moved_v.data() + (h * kChunkCells + i) * v_bytes, v + cell * n.v->nb[1] + h * n.v->nb[2], v_bytes);
    }
  }
  for (int64_t h = 0; h < heads; ++h) {
    std::memset(s.moved_k.data() + (h * kChunkCells + count) * k_bytes, 0, (kChunkCells - count) * k_bytes);
    std::memset(s.moved_v.data() + (h * kChunkCells + count) * v_bytes, 0, (kChunkCells - count) * v_bytes);
  }
}

// Rows [begin, end) of a view, over one of its chunks, with the heads that read `heads` heads of keys. `between` is called
// in front of each of these.
template <class Between, class PartialAt>
void attend_view(const KernelSet& kernels, const Node& n, const ViewChunk& c, int64_t heads, int64_t begin, int64_t end,
                 Between between, PartialAt partial_at) {
  ThreadState& s = state;
  const int64_t share = n.heads / n.key_heads, count = c.count();
  const int32_t* cells = c.cells();
  const bool is_moved = c.is_moved();
  if (is_moved) {
    move_cells(n, c, heads);
    s.moved_masks.assign((end - begin) * kChunkCells, kHidden);
    for (int64_t i = begin; i < end; ++i) {
      const auto* mask = at<uint16_t>(n.mask, c.view->rows[i], 0, 0);
      uint16_t* moved = s.moved_masks.data() + (i - begin) * kChunkCells;
      for (int64_t j = 0; j < count; ++j) moved[j] = mask[cells[j]];
    }
  }
  s.scratch.resize(kAttentionScratch(static_cast<int>(n.dk)));
  for (int64_t h = 0; h < heads; ++h) {
    between(h);
    const Place place{0, c.key_head + h, 0};
    s.queries.clear();
    s.masks.clear();
    s.slopes.clear();
    s.partials.clear();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = c.view->rows[i];
      const uint16_t* mask = is_moved ? s.moved_masks.data() + (i - begin) * kChunkCells
                                      : at<uint16_t>(n.mask, row, 0, 0) + cells[0];
      const bool visible = any_visible(mask);
      for (int64_t head = place.key_head * share; head < (place.key_head + 1) * share; ++head) {
        float* partial = partial_at(row, head);
        if (!visible) {
          partial[0] = -std::numeric_limits<float>::infinity();
          continue;
        }
        s.masks.push_back(mask);
        s.queries.push_back(at<float>(n.q, row, head, 0));
        s.slopes.push_back(n.slope(head));
        s.partials.push_back(partial);
      }
    }
    if (s.queries.empty()) continue;
    const AttentionChunk work{
        .k = is_moved ? s.moved_k.data() + h * kChunkCells * 2 * n.dk : place.keys(n) + cells[0] * n.k->nb[1],
        .v = is_moved ? s.moved_v.data() + h * kChunkCells * 2 * n.dv : place.values(n) + cells[0] * n.v->nb[1],
        .k_stride = is_moved ? 2 * n.dk : n.k->nb[1],
        .v_stride = is_moved ? 2 * n.dv : n.v->nb[1],
        .later_k = nullptr,
        .later_v = nullptr,
        .later_cells = 0,
        .later_bytes = 0,
        .dk = static_cast<int>(n.dk),
        .dv = static_cast<int>(n.dv),
        .queries = static_cast<int>(s.queries.size()),
        .q = s.queries.data(),
        .mask = s.masks.data(),
        .slopes = n.max_bias > 0 ? s.slopes.data() : nullptr,
        .scale = n.scale,
        .softcap = n.softcap,
        .scratch = s.scratch.data(),
    };
    kernels.attend(work, s.partials.data());
  }
}

void attend_views_sharing(const KernelSet& kernels, const ggml_compute_params* params, const Node& n,
                          const std::vector<View>& views) {
  auto* shared = static_cast<float*>(params->wdata);
  const int64_t floats = n.partial_floats();
  int64_t most = 0, all = 0;
  for (const View& view : views) {
    most = std::max(most, view.chunks());
    all += view.chunks();
  }
  const auto partials_of = [&](int64_t row, int64_t head) {
    return shared + (row * n.heads + head) * most * floats;
  };
  // In memory a cell's heads lie side by side, so a thread takes a chunk with all of them where there are enough chunks
  // for all threads.
  const int64_t heads = all >= 2 * params->nth ? n.key_heads : 1;
  std::vector<ViewChunk>& mine = state.chunks;
  mine.clear();
  int64_t item = 0;
  for (const View& view : views)
    for (int64_t chunk = 0; chunk < view.chunks(); ++chunk)
      for (int64_t key_head = 0; key_head < n.key_heads; key_head += heads)
        if (item++ % params->nth == params->ith) mine.push_back({&view, chunk, key_head});
  if (!mine.empty()) fetch(n, mine[0], heads, 0, kChunkCells);
  for (size_t i = 0; i < mine.size(); ++i) {
    const auto fetch_next = [&](int64_t head) {
      if (i + 1 < mine.size())
        fetch(n, mine[i + 1], heads, kChunkCells * head / heads, kChunkCells * (head + 1) / heads);
    };
    attend_view(kernels, n, mine[i], heads, 0, static_cast<int64_t>(mine[i].view->rows.size()), fetch_next,
                [&](int64_t row, int64_t head) { return partials_of(row, head) + mine[i].chunk * floats; });
  }
  ggml_barrier(params->threadpool);
  state.sums.resize(floats);
  float* sum = state.sums.data();
  item = 0;
  for (const View& view : views)
    for (const int64_t row : view.rows)
      for (int64_t head = 0; head < n.heads; ++head) {
        if (item++ % params->nth != params->ith) continue;
        clear_sum(sum, n.dv);
        for (int64_t chunk = 0; chunk < view.chunks(); ++chunk)
          kernels.fold(sum, partials_of(row, head) + chunk * floats, static_cast<int>(n.dv));
        finish(n, 0, row, head, sum);
      }
}

void attend_views_alone(const KernelSet& kernels, const ggml_compute_params* params, const Node& n,
                        const std::vector<View>& views) {
  const int64_t floats = n.partial_floats(), share = n.heads / n.key_heads;
  state.partial.resize(kRowBlock * share * floats);
  state.sums.resize(kRowBlock * share * floats);
  int64_t item = 0;
  for (const View& view : views)
    for (int64_t begin = 0, all = static_cast<int64_t>(view.rows.size()); begin < all; begin += kRowBlock)
      for (int64_t key_head = 0; key_head < n.key_heads; ++key_head) {
        if (item++ % params->nth != params->ith) continue;
        const int64_t end = std::min(all, begin + kRowBlock), queries = (end - begin) * share;
        for (int64_t i = 0; i < queries; ++i) clear_sum(state.sums.data() + i * floats, n.dv);
        for (int64_t chunk = 0; chunk < view.chunks(); ++chunk) {
          // Asked for row by row, heads ascending.
          float* next = state.partial.data() - floats;
          const auto nothing = [](int64_t) {};
          attend_view(kernels, n, {&view, chunk, key_head}, 1, begin, end, nothing,
                      [&](int64_t, int64_t) { return next += floats; });
          for (int64_t i = 0; i < queries; ++i)
            kernels.fold(state.sums.data() + i * floats, state.partial.data() + i * floats, static_cast<int>(n.dv));
        }
        for (int64_t i = 0; i < queries; ++i)
          finish(n, 0, view.rows[begin + i / share], key_head * share + i % share, state.sums.data() + i * floats);
      }
}

}  // namespace

bool can_attend(const ggml_tensor* op) {
  const ggml_tensor *q = op->src[0], *k = op->src[1], *v = op->src[2], *mask = op->src[3];
  return op->op == GGML_OP_FLASH_ATTN_EXT && q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 &&
         v->type == GGML_TYPE_F16 && q->ne[0] == k->ne[0] && k->ne[0] % 16 == 0 && v->ne[0] % 16 == 0 &&
         q->ne[2] % k->ne[2] == 0 && q->nb[0] == sizeof(float) && k->nb[0] == 2 && v->nb[0] == 2 &&
         k->ne[2] == v->ne[2] && k->ne[1] % kChunkCells == 0 && q->ne[3] % k->ne[3] == 0 && k->ne[3] == v->ne[3] &&
         (!mask || (mask->type == GGML_TYPE_F16 && mask->nb[0] == 2));
}

size_t attend_scratch(const ggml_tensor* op, int threads) {
  const Node n(op);
  return n.shares(threads) ? n.shared_bytes() : 0;
}

void attend(const AttentionCall& call, const ggml_compute_params* params, ggml_tensor* op) {
  const Node n(op);
  if (call.has_sequences && !call.has_branches && n.mask && n.streams == 1 && n.mask->ne[2] == 1) {
    if (params->ith == 0) {
      CacheWatch::note(n.k);
      CacheWatch::note(n.v);
    }
    const std::vector<View>& views = find_views(n, call.batch);
    if (n.shares(params->nth))
      attend_views_sharing(*call.kernels, params, n, views);
    else
      attend_views_alone(*call.kernels, params, n, views);
    return;
  }
  find_gaps(n, call.has_branches);
  if (n.shares(params->nth))
    attend_sharing(*call.kernels, params, n);
  else
    attend_alone(*call.kernels, params, n);
}

}  // namespace adaptive_spec
