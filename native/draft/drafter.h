// The interface behind which every drafter stands: something cheap that proposes the next tokens of a sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

struct ggml_threadpool;

namespace adaptive_spec {

// One sequence's draft while it grows. Vectors have one entry per proposed token.
struct Draft {
  int seq = 0;                        // sequence id, 0 .. parallel - 1
  std::span<const int32_t> accepted;  // prompt and emitted tokens, target ids, the newest last
  int depth = 0;                      // grow to this many tokens
  float min_probability = 0;          // stop before a token less probable than this
  bool mask_eog = false;              // never propose an end of generation
  bool stopped = false;               // the drafter won't grow this draft further
  std::vector<int32_t> tokens;        // proposed, target ids
  std::vector<float> probabilities, margins, entropies;
  double draft_ms = 0, catch_up_ms = 0;

  void clear() {
    stopped = false;
    tokens.clear();
    probabilities.clear();
    margins.clear();
    entropies.clear();
    draft_ms = catch_up_ms = 0;
  }
  void truncate(size_t n) {
    if (tokens.size() <= n) return;
    tokens.resize(n);
    probabilities.resize(n);
    margins.resize(n);
    entropies.resize(n);
  }
};

class Drafter {
 public:
  virtual ~Drafter() = default;
  virtual const char* name() const = 0;
  // Grows each draft to its depth or to its stop rule, from where it is: all sequences in one batch. A call
  // that is aborted or fails leaves shorter drafts and a cache that is still a prefix of the accepted text.
  virtual void extend(std::span<Draft*> drafts) = 0;
  // Of `drafted` proposals, `kept` were accepted; `length` is the accepted text's length before them.
  virtual void roll_back(int seq, int length, int kept) = 0;
  // Accepted tokens that this drafter has not read yet, given the accepted text's length.
  virtual int lag(int seq, int length) const = 0;
  // Computes on these threads from now on, if it does on threads.
  virtual void use(ggml_threadpool* pool, int threads) = 0;
  virtual void end(int seq) = 0;  // the sequence is over; forget it
};

}  // namespace adaptive_spec
