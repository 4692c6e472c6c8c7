// AVX2 without dot-product instructions: pairs are multiplied and added in two steps.
#include "kernels/avx2.inl"

namespace adaptive_spec {

void fill_avx2(KernelSet& set) {
  set.name = "avx2";
  add_all_formats(set);
  add_attention(set);
}

}  // namespace adaptive_spec
