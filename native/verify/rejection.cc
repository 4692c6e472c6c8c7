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

// p, whose values sum to `total`, becomes (p - total * q)+. Answers what was taken away.
double subtract(Distribution& p, double total, const Proposal& proposal) {
  double taken = 0;
  const auto take = [&](int32_t id, double share) {
    Probability* const mine = find(p, id);
    if (!mine) return;
    const float before = mine->value;
    mine->value = static_cast<float>(std::max(0.0, before - total * share));
    taken += before - mine->value;
  };
  if (!proposal.from) take(proposal.token, 1);
  if (proposal.from)
    for (const Probability& one : *proposal.from) take(one.id, one.value);
  return taken;
}

}  // namespace

double uniform_at(uint32_t seed, Use use, uint64_t position, uint64_t detail) {
  const uint64_t key = static_cast<uint64_t>(use) << 32 | seed;
  return static_cast<double>(mix(mix(mix(key) ^ position) ^ detail) >> 11) * 0x1p-53;
}

double draft_number(uint32_t seed, uint64_t start, uint64_t place, uint64_t sibling) {
  return uniform_at(seed, Use::kDraft, start, sibling << 32 | place);
}

bool is_accepted(double p, const Proposal& proposal, uint32_t seed, uint64_t position) {
  return passes(p, proposal, uniform_at(seed, Use::kAccept, position));
}

int32_t accept_or_replace(Distribution& p, std::span<const Proposal> proposals, uint32_t seed, uint64_t position) {
  // A pass over p takes as long as all else, so what is left of it isn't made to sum to 1 again.
  double total = 1;
  for (size_t i = 0; i < proposals.size(); ++i) {
    const int32_t token = proposals[i].token;
    const double u = uniform_at(seed, Use::kAccept, position, i);
    if (passes(probability_of(p, token) / total, proposals[i], u)) return token;
    total -= subtract(p, total, proposals[i]);
    // p and q alike but for rounding: then there is nothing to replace it with.
    if (total <= 0) return token;
  }
  return draw(p, uniform_at(seed, Use::kReplace, position), total);
}

}  // namespace adaptive_spec
