// Which draft tokens the target accepts: pure, and blind to where rows come from.
#pragma once

#include <cstdint>
#include <span>

namespace adaptive_spec {

// Row i holds the target's logits after draft token i - 1; row 0 after the last accepted token. Samples row by
// row, as plain decoding would, and goes on while the sample is the draft's token. The first other sample is
// the target's own and is emitted too, so a step emits 1 to draft.size() + 1 tokens.
//   sample(row) -> token     emit(token) -> false when the sequence is over; the rest is dropped
// Answers the number of draft tokens accepted.
template <class Sample, class Emit>
int accept_chain(std::span<const int32_t> draft, Sample&& sample, Emit&& emit) {
  for (size_t row = 0;; ++row) {
    const int32_t token = sample(row);
    const bool agrees = row < draft.size() && token == draft[row];
    const bool goes_on = emit(token);
    if (!agrees) return static_cast<int>(row);
    if (!goes_on) return static_cast<int>(row) + 1;
  }
}

}  // namespace adaptive_spec
