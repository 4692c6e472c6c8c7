// Rejection sampling: makes the target's own distribution out of tokens that were drawn from another one. Pure.
// Chains: Leviathan et al. 2023 (arXiv:2211.17192), Chen et al. 2023 (arXiv:2302.01318). Several proposals for one
// place, as in a tree: Miao et al. 2024 (SpecInfer, arXiv:2305.09781); drawn without replacement: Jeon et al. 2024
// (arXiv:2402.14160).
#pragma once

#include <cstdint>
#include <span>

#include "verify/distribution.h"

namespace adaptive_spec {

// What a random number is for: numbers for one use say nothing of those for another.
enum class Use : uint32_t { kDraft = 1, kAccept = 2, kReplace = 3 };

// A number from 0 to less than 1 that depends on its arguments alone, so that no state can be out of step.
double uniform_at(uint32_t seed, Use use, uint64_t position, uint64_t detail = 0);

// The number with which a draft's token is drawn: of a step that began at this length of the text, for a place in the
// draft, the first or a later one of its siblings. A step begins once at each length. Its numbers serve no other step,
// since what a controller saw of an earlier one would tell it of this one's tokens before it says which are verified.
double draft_number(uint32_t seed, uint64_t start, uint64_t place, uint64_t sibling = 0);

// A token proposed for a place of the text, and the distribution that it was drawn from; null: it was certain.
struct Proposal {
  int32_t token = 0;
  const Distribution* from = nullptr;
};

// Whether the first proposal for a place is accepted, where `p` is the target's probability of its token.
bool is_accepted(double p, const Proposal& proposal, uint32_t seed, uint64_t position);

// The token for a place of the text, distributed as `p` is. Proposals are tried in order: the one that is answered was
// accepted, any other token replaces them all. A proposal's distribution may depend on the proposals before it (drawn
// without replacement), not on those behind it. Whether a proposal is tried at all may depend on its distribution, never
// on the token that was drawn: what was held back for being what it is would be missing from the text. `p` is used up.
int32_t accept_or_replace(Distribution& p, std::span<const Proposal> proposals, uint32_t seed, uint64_t position);

}  // namespace adaptive_spec
