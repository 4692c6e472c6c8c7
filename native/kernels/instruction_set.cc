// Asks the CPU once and fills the tables of what it has.
#include "kernels/instruction_set.h"

#include <optional>
#include <stdexcept>

#ifdef ADAPTIVE_SPEC_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace adaptive_spec {

#ifdef ADAPTIVE_SPEC_X86
void fill_avx2(KernelSet& set);
void fill_avx2_vnni(KernelSet& set);
void fill_avx512(KernelSet& set);
void fill_avx512_bf16(KernelSet& set);
#endif
#ifdef ADAPTIVE_SPEC_AMX
void fill_amx(KernelSet& set);
void fill_amx_bf16(KernelSet& set);
#endif

namespace {

#ifdef ADAPTIVE_SPEC_AMX
struct Amx {
  bool int8 = false, bf16 = false;
};

// What the CPU has of AMX, where Linux lets this process use it: tiles make a thread's state so much larger that a
// process must ask, once for all its threads. Linux refuses on a CPU without tiles, and where a thread has an
// alternative signal stack that is too small for them.
Amx find_amx() {
  constexpr unsigned kBf16 = 1 << 22, kTile = 1 << 24, kInt8 = 1 << 25;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned a, b, c, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kTile) || !(d & kInt8)) return {};
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) return {};
  return {true, (d & kBf16) != 0};
}
#endif

// Best first.
std::vector<KernelSet> find_sets() {
  std::vector<KernelSet> sets;
#ifdef ADAPTIVE_SPEC_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni")) {
    KernelSet avx512{};
    const bool bf16 = __builtin_cpu_supports("avx512bf16");
    fill_avx512(avx512);
    if (bf16) fill_avx512_bf16(avx512);
#ifdef ADAPTIVE_SPEC_AMX
    if (const Amx amx = find_amx(); amx.int8) {
      fill_amx(sets.emplace_back(avx512));
      if (amx.bf16 && bf16) fill_amx_bf16(sets.back());
    }
#endif
    sets.push_back(avx512);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
    if (__builtin_cpu_supports("avxvnni"))
      fill_avx2_vnni(sets.emplace_back());
    else
      fill_avx2(sets.emplace_back());
  }
#endif
  return sets;
}

const std::vector<KernelSet>& sets() {
  static const std::vector<KernelSet> found = find_sets();
  return found;
}

}  // namespace

const KernelSet* kernel_set(const std::string& name) {
  if (name == "ggml") return nullptr;
  if (name == "auto") {
    // AMX has to be asked for by name until it has run on a CPU that has it.
    for (const KernelSet& set : sets())
      if (std::string("amx") != set.name) return &set;
    return nullptr;
  }
  for (const KernelSet& set : sets())
    if (name == set.name) return &set;
  throw std::invalid_argument("this CPU can't run the kernels '" + name + "'");
}

std::vector<std::string> available_kernels() {
  std::vector<std::string> names;
  for (const KernelSet& set : sets()) names.push_back(set.name);
  names.push_back("ggml");
  return names;
}

}  // namespace adaptive_spec
