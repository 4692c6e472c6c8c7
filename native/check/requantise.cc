// requantise IN OUT TYPE: a model's weights in another format, by llama.cpp. TYPE is F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1,
// Q8_0, Q4_K_M, Q5_K_M, Q6_K, IQ4_NL or MXFP4_MOE.
#include <llama.h>

#include <cstdio>
#include <cstring>
#include <utility>

int main(int argc, char** argv) {
  static constexpr std::pair<const char*, llama_ftype> kTypes[] = {
      {"F16", LLAMA_FTYPE_MOSTLY_F16},       {"BF16", LLAMA_FTYPE_MOSTLY_BF16},     {"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
      {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},     {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},     {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},
      {"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},     {"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M}, {"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M},
      {"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K},     {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL}, {"MXFP4_MOE", LLAMA_FTYPE_MOSTLY_MXFP4_MOE}};
  for (const auto& [name, type] : kTypes)
    if (argc == 4 && std::strcmp(argv[3], name) == 0) {
      llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
      llama_model_quantize_params params = llama_model_quantize_default_params();
      params.ftype = type;
      params.allow_requantize = true;
      return llama_model_quantize(argv[1], argv[2], &params) == 0 ? 0 : 1;
    }
  std::fprintf(stderr, "usage: requantise IN OUT TYPE\n");
  return 2;
}
