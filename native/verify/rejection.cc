// Accept a proposal with probability min(1, p / q); after each that is refused, go on with what p has more than q.
#include "verify/rejection.h"

#include <algorithm>

namespace adaptive_spec {
namespace {

// Steele, Lea and Flood 2014, SplitMix64's output function.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

bool passes(double p, const Proposal& proposal, double u) {
  return u * (proposal.from ? probability_of(*proposal.from, proposal.token) : 1) < p;
}

// p becomes (p - q)+, made to sum to 1. False where nothing is left, which only rounding can bring about: it is
// unchanged then.
bool subtract(Distribution& p, const Proposal& proposal) {
  Distribution rest;
  rest.reserve(p.size());
  const Distribution certain = {{proposal.token, 1}};
  const Distribution& q = proposal.from ? *proposal.from : certain;
  auto its = q.begin();
  for (const Probability& mine : p) {
    while (its != q.end() && its->id < mine.id) ++its;
    const float covered = its != q.end() && its->id == mine.id ? its->value : 0;
    if (mine.value > covered) rest.push_back({mine.id, mine.value - covered});
  }
  if (!normalise(rest)) return false;
  p = std::move(rest);
  return true;
}

}  // namespace

double uniform_at(uint32_t seed, Use use, uint64_t position, uint64_t detail) {
  const uint64_t key = static_cast<uint64_t>(use) << 32 | seed;
  return static_cast<double>(mix(mix(mix(key) ^ position) ^ detail) >> 11) * 0x1p-53;
}

bool is_accepted(double p, const Proposal& proposal, uint32_t seed, uint64_t position) {
  return passes(p, proposal, uniform_at(seed, Use::kAccept, position));
}

int32_t accept_or_replace(Distribution p, std::span<const Proposal> proposals, uint32_t seed, uint64_t position) {
  for (size_t i = 0; i < proposals.size(); ++i) {
    const int32_t token = proposals[i].token;
    if (passes(probability_of(p, token), proposals[i], uniform_at(seed, Use::kAccept, position, i))) return token;
    // p and q alike but for rounding: then there is nothing to replace it with.
    if (!subtract(p, proposals[i])) return token;
  }
  return draw(p, uniform_at(seed, Use::kReplace, position));
}

}  // namespace adaptive_spec
