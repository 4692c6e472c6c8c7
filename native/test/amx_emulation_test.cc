// The AMX kernels on emulated tiles (amx_emulation.cc), from their source and from the machine code of amx.cc, whose
// AMX instructions trap on a CPU without: what is tested is how they use tiles, not a CPU's AMX.
// On a CPU that has it, kernels_test.cc runs the instructions, since 'amx' is then one of its sets.
#include <ggml.h>

#ifdef ADAPTIVE_SPEC_AMX
#include <cpuid.h>
#include <signal.h>
#include <ucontext.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "engine/context.h"
#include "kernels/instruction_set.h"
#include "kernels/pack.h"
#include "test/amx_emulation.h"
#include "test/harness.h"
#include "test/random.h"

namespace adaptive_spec {

#ifndef ADAPTIVE_SPEC_X86
// The tests end before they would come to these.
void fill_emulated_amx(KernelSet&) {}
void fill_emulated_amx_bf16(KernelSet&) {}
int emulated_tile_faults() { return 0; }
int emulated_tile_products() { return 0; }
void configure_emulated_tiles() {}
bool emulated_tiles_are_configured() { return false; }
#endif

#ifdef ADAPTIVE_SPEC_AMX
void fill_amx(KernelSet& set);
void fill_amx_bf16(KernelSet& set);
#endif

namespace {

using test::Random;

bool has(const std::string& name) {
  const std::vector<std::string> names = available_kernels();
  return std::find(names.begin(), names.end(), name) != names.end();
}

// AVX-512's kernels and the same with emulated tiles; none where the CPU lacks what is real about them.
struct Sets {
  KernelSet avx512, amx;
  bool bf16 = false;
};
const Sets* sets() {
  static const std::optional<Sets> both = []() -> std::optional<Sets> {
    if (!has("avx512")) return std::nullopt;
    Sets sets{*kernel_set("avx512"), *kernel_set("avx512")};
    fill_emulated_amx(sets.amx);
#ifdef ADAPTIVE_SPEC_X86
    sets.bf16 = __builtin_cpu_supports("avx512bf16");
#endif
    if (sets.bf16) fill_emulated_amx_bf16(sets.amx);
    return sets;
  }();
  if (!both) std::printf("  not run: this CPU has no AVX-512 VNNI\n");
  return both ? &*both : nullptr;
}

// 16 rows of weights, packed, and what they stand for.
struct Group {
  PackedShape shape;
  std::vector<uint8_t> packed;
  std::vector<float> exact;

  // Rows past `rows` are zeros.
  Group(ggml_type type, int columns, int rows, uint32_t seed)
      : shape{*packed_format(type, columns), rows, columns}, packed(shape.bytes() + 64), exact(columns * rows) {
    const std::vector<float> values = Random(seed).row(columns * rows, 0.05);
    std::vector<uint8_t> data(ggml_row_size(type, columns) * rows);
    ggml_quantize_chunk(type, values.data(), data.data(), 0, rows, columns, nullptr);
    ggml_get_type_traits(type)->to_float(data.data(), exact.data(), static_cast<int64_t>(exact.size()));
    pack(shape, data.data(), 0, 1, packed.data());
  }
};

constexpr float kUntouched = -12345;

// Rows of 16 floats, one per column; past `rows` nothing may be written.
std::vector<float> product(const KernelSet& set, const Group& group, const std::vector<const float*>& columns) {
  const int format = static_cast<int>(group.shape.format), n = static_cast<int>(columns.size());
  const int blocks = group.shape.blocks();
  const PanelKind kind = set.panel_kinds[format];
  std::vector<uint8_t> panel(static_cast<size_t>(n) * blocks * kFloatPanelBytes);
  set.panels[static_cast<int>(kind)](columns.data(), n, 0, blocks, panel.data());
  std::vector<float> results(16 * n, kUntouched);
  std::vector<float*> out(n);
  for (int j = 0; j < n; ++j) out[j] = &results[16 * j];
  set.tiles[format][n - 1](group.packed.data(), blocks, panel.data(), out.data(), static_cast<int>(group.shape.rows));
  return results;
}

std::vector<const float*> pointers(const std::vector<float>& x, int columns, int first, int n) {
  std::vector<const float*> out(n);
  for (int j = 0; j < n; ++j) out[j] = &x[static_cast<size_t>(first + j) * columns];
  return out;
}

// Activations with a few large numbers, and one column of zeros.
std::vector<float> activations(int columns, int n, uint32_t seed) {
  std::vector<float> x = Random(seed).row(columns * n, 1);
  for (size_t i = 0; i < x.size(); i += 97) x[i] *= 12;
  std::fill_n(x.begin() + 3 * columns, columns, 0.0f);
  return x;
}

bool same_bits(const float* a, const float* b, size_t n) { return std::memcmp(a, b, n * sizeof(float)) == 0; }

constexpr ggml_type kInt8Types[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,   GGML_TYPE_Q8_0,
                                    GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_IQ4_NL, GGML_TYPE_MXFP4};

TEST("int8 products on emulated AMX tiles are not AVX-512's, bit for bit") {
  const Sets* both = sets();
  if (!both) return;
  const int faults = emulated_tile_faults();
  for (const ggml_type type : kInt8Types)
    // 1 to 5 blocks, whole and cut steps of four; with super-blocks, of eight.
    for (const int blocks : {1, 2, 3, 4, 5, 8, 13, 24, 40}) {
      const int columns = blocks * kBlockWeights;
      if (columns % ggml_blck_size(type)) continue;
      for (int rows = 1; rows <= 16; ++rows) {
        const Group group(type, columns, rows, 21 + rows);
        const std::vector<float> x = activations(columns, kMaxColumns, 22);
        for (int n = 1; n <= kMaxColumns; ++n) {
          const int products = emulated_tile_products();
          const std::vector<float> expected = product(both->avx512, group, pointers(x, columns, 0, n));
          CHECK_EQUAL(emulated_tile_products(), products);
          const std::vector<float> found = product(both->amx, group, pointers(x, columns, 0, n));
          const int parts = type == GGML_TYPE_Q6_K ? 2 : 1;
          CHECK_EQUAL(emulated_tile_products(), products + blocks * parts);
          if (!same_bits(expected.data(), found.data(), expected.size()))
            test::fail(__FILE__, __LINE__,
                       std::string(ggml_type_name(type)) + ", " + std::to_string(blocks) + " blocks, " +
                           std::to_string(rows) + " rows, " + std::to_string(n) + " columns");
          for (int j = 0; j < n; ++j)
            for (int r = 0; r < 16; ++r) CHECK_EQUAL(found[16 * j + r] == kUntouched, r >= rows);
        }
      }
    }
  CHECK_EQUAL(emulated_tile_faults(), faults);
}

TEST("a column's bf16 product on emulated AMX tiles depends on the other columns, or is less precise") {
  const Sets* both = sets();
  if (!both || !both->bf16) return;
  const int faults = emulated_tile_faults();
  for (const int blocks : {1, 2, 3, 4, 5, 11, 64}) {
    const int columns = blocks * kBlockWeights;
    for (const int rows : {1, 7, 16}) {
      const Group group(GGML_TYPE_BF16, columns, rows, 31);
      const std::vector<float> x = activations(columns, kMaxColumns, 32);
      std::vector<float> alone;
      for (int j = 0; j < kMaxColumns; ++j) {
        const std::vector<float> one = product(both->amx, group, pointers(x, columns, j, 1));
        alone.insert(alone.end(), one.begin(), one.end());
      }
      for (int n = 1; n <= kMaxColumns; ++n)
        for (int first = 0; first + n <= kMaxColumns; ++first) {
          const std::vector<float> together = product(both->amx, group, pointers(x, columns, first, n));
          if (!same_bits(together.data(), &alone[16 * first], together.size()))
            test::fail(__FILE__, __LINE__,
                       std::to_string(blocks) + " blocks, " + std::to_string(n) + " columns from " +
                           std::to_string(first));
        }
      // Both round the columns to bf16; what is left is the order of additions.
      double amx_error = 0, avx512_error = 0, size = 0;
      for (int j = 0; j < kMaxColumns; ++j) {
        const std::vector<float> other = product(both->avx512, group, pointers(x, columns, j, 1));
        for (int r = 0; r < rows; ++r) {
          double exact = 0;
          for (int k = 0; k < columns; ++k)
            exact += static_cast<double>(group.exact[r * columns + k]) *
                     ggml_bf16_to_fp32(ggml_fp32_to_bf16(x[j * columns + k]));
          amx_error += std::pow(alone[16 * j + r] - exact, 2);
          avx512_error += std::pow(other[r] - exact, 2);
          size += exact * exact;
        }
      }
      amx_error = std::sqrt(amx_error / size);
      avx512_error = std::sqrt(avx512_error / size);
      if (rows == 16)
        std::printf("  bf16, %2d blocks: relative error %.3g, AVX-512 %.3g\n", blocks, amx_error, avx512_error);
      CHECK(amx_error < 1e-6);
    }
  }
  CHECK_EQUAL(emulated_tile_faults(), faults);
}

#ifdef ADAPTIVE_SPEC_AMX
int trapped = 0;

void emulate_trapped(int, siginfo_t*, void* context) {
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  uint64_t values[16];
  for (int i = 0; i < 16; ++i) values[i] = static_cast<uint64_t>(registers[kOrder[i]]);
  const int length = emulate_amx_instruction(reinterpret_cast<const uint8_t*>(registers[REG_RIP]), values);
  if (length == 0) {
    signal(SIGILL, SIG_DFL);  // what is there ends the process when it is tried again
    return;
  }
  registers[REG_RIP] += length;
  ++trapped;
}

bool cpu_has_tiles() {
  unsigned a, b, c, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1);
}
#endif

TEST("the machine code of the AMX kernels, its AMX instructions trapped and emulated, gives other bits") {
#ifdef ADAPTIVE_SPEC_AMX
  const Sets* both = sets();
  if (!both || !both->bf16) return;
  if (cpu_has_tiles()) return void(std::printf("  not run: this CPU has AMX, so that nothing traps\n"));
  KernelSet shipped = both->avx512;
  fill_amx(shipped);
  fill_amx_bf16(shipped);
  struct sigaction action = {}, before;
  action.sa_sigaction = emulate_trapped;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &before);
  const int faults = emulated_tile_faults();
  const auto compare = [&](ggml_type type, const KernelSet& expected, int most) {
    for (const int blocks : {1, 3, 6, 8, 24}) {
      const int columns = blocks * kBlockWeights;
      if (columns % ggml_blck_size(type)) continue;
      const Group group(type, columns, 15, 51);
      const std::vector<float> x = activations(columns, kMaxColumns, 52);
      for (int n = 1; n <= kMaxColumns; ++n) {
        const std::vector<float> other = product(expected, group, pointers(x, columns, 0, n));
        const int trapped_before = trapped;
        const std::vector<float> found = product(shipped, group, pointers(x, columns, 0, n));
        CHECK_EQUAL(trapped == trapped_before, n <= most);
        if (!same_bits(found.data(), other.data(), other.size()))
          test::fail(__FILE__, __LINE__,
                     std::string(ggml_type_name(type)) + ", " + std::to_string(blocks) + " blocks, " +
                         std::to_string(n) + " columns");
      }
    }
  };
  for (const ggml_type type : kInt8Types) compare(type, both->avx512, 4);  // up to 4 columns are AVX-512's
  compare(GGML_TYPE_BF16, both->amx, 0);
  sigaction(SIGILL, &before, nullptr);
  CHECK_EQUAL(emulated_tile_faults(), faults);
  std::printf("  %d AMX instructions trapped\n", trapped);
#endif
}

TEST("the AMX kernels leave a thread's tiles otherwise than they found them") {
  const Sets* both = sets();
  if (!both) return;
  const Group group(GGML_TYPE_Q4_0, 96, 16, 41);
  const std::vector<float> x = activations(96, kMaxColumns, 42);
  CHECK(!emulated_tiles_are_configured());
  configure_emulated_tiles();
  product(both->amx, group, pointers(x, 96, 0, 9));
  CHECK(emulated_tiles_are_configured());
}

TEST("AMX kernels are chosen where they can't run, or aren't where they can") {
  if (has("amx")) {
    CHECK_EQUAL(kernel_set("amx")->name, std::string("amx"));
    CHECK_EQUAL(kernel_set("auto"), kernel_set("avx512"));
  } else {
    try {
      find_kernels("amx");
      CHECK(!"found");
    } catch (const EngineError& error) {
      CHECK_EQUAL(error.code, "UNSUPPORTED");
      CHECK(error.hint.find("auto, ") != std::string::npos);
    }
  }
  for (const std::string& name : available_kernels()) CHECK(name.find("emulated") == std::string::npos);
}

}  // namespace
}  // namespace adaptive_spec
