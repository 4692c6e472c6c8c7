// AVX-512 with VNNI.
#include "kernels/avx512.inl"

namespace adaptive_spec {
namespace {

#include "kernels/attend.inl"

}  // namespace

void fill_avx512(KernelSet& set) {
  set.name = "avx512";
  add_all_formats(set);
  add_attention(set);
}

}  // namespace adaptive_spec
