// Asks the CPU once and fills the tables of what it has.
#include "kernels/instruction_set.h"

#include <optional>
#include <stdexcept>

namespace adaptive_spec {

#ifdef ADAPTIVE_SPEC_X86
void fill_avx2(KernelSet& set);
void fill_avx2_vnni(KernelSet& set);
void fill_avx512(KernelSet& set);
void fill_avx512_bf16(KernelSet& set);
#endif

namespace {

// Best first.
std::vector<KernelSet> find_sets() {
  std::vector<KernelSet> sets;
#ifdef ADAPTIVE_SPEC_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni")) {
    fill_avx512(sets.emplace_back());
    if (__builtin_cpu_supports("avx512bf16")) fill_avx512_bf16(sets.back());
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
  if (name == "auto") return sets().empty() ? nullptr : &sets().front();
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
