// AVX2 with AVX-VNNI, the dot-product instruction of CPUs that left AVX-512 out.
#include "kernels/avx2.inl"

namespace adaptive_spec {

void fill_avx2_vnni(KernelSet& set) {
  set.name = "avx2";
  add_all_formats(set);
  add_attention(set);
}

}  // namespace adaptive_spec
