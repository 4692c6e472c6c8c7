// The table of what is done to a row of logits, one for each instruction set. Internal: include kernels/logits.h.
// The files behind it are built with flags of their own, so it holds no function and no template: the linker might
// keep the copy that only some CPUs can run.
#pragma once

#include <stdint.h>

namespace adaptive_spec {

struct Candidate {
  int32_t id;
  float logit;
};

// Of e^x and of x e^x, with x = logit - best.
struct RowSums {
  int32_t id;  // of the best; -1: the row is bad, and nothing else is set
  float best, second;
  double sum, weighted;
};

// In every row n >= 1. A bad row holds NaN or +Inf, or nothing but -Inf.
struct LogitKernels {
  const char* name;
  // The lowest id of the largest logit; -1: the row is bad.
  int32_t (*argmax)(const float* logits, int n);
  RowSums (*sums)(const float* logits, int n);
  // The largest of every 64 logits, into (n + 63) / 64 floats. False: NaN or +Inf is among them.
  bool (*block_maxima)(const float* logits, int n, float* maxima);
  // Of every 256 logits the sum of e^(logit / temperature - top), each term as floats have it; top is the largest of
  // logit / temperature.
  void (*block_sums)(const float* logits, int n, float top, float temperature, float* sums);
  // The entries of `threshold` or more, ids ascending. Answers their number, or -1 where they are more than `room`.
  int (*at_least)(const float* logits, int n, float threshold, Candidate* out, int room);
  // A sum of floats in [2^23, 2^24) counts units of its last place, and e^x adds a whole number of them. Adds up
  // these numbers from `begin` on, with x = logit - best and 2^-shift the unit, and answers where it stopped: before
  // the sum reaches `room` units, or where rounding can't be known without the exact e^x. Null: there is none.
  int (*add_units)(const float* logits, int begin, int n, float best, int shift, float room, float* added);
};

extern const LogitKernels kScalarLogits;
extern const LogitKernels kAvx2Logits, kAvx512Logits;  // on x86-64 alone

}  // namespace adaptive_spec
