// A distribution over token ids: which tokens a row of logits allows, and how probable each of them is.
#pragma once

#include <cstdint>
#include <vector>

namespace adaptive_spec {

struct Probability {
  int32_t id = 0;
  float value = 0;
};

// Ids ascending, each once; ids that aren't listed have probability 0. The values sum to 1, within rounding.
using Distribution = std::vector<Probability>;

// 0 where the id isn't listed.
float probability_of(const Distribution& distribution, int32_t id);

// The id at which the summed probabilities pass `u` (0 <= u < 1) of their total. There must be one above 0.
int32_t draw(const Distribution& distribution, double u);

// Puts the ids in order and makes the values sum to 1. False where nothing is above 0; it is unchanged then.
bool normalise(Distribution& distribution);

}  // namespace adaptive_spec
