// Which draft tokens the target accepts: pure, and blind to where rows come from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "draft/token_tree.h"
#include "verify/rejection.h"

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

// What of a tree the target accepts.
struct AcceptedPath {
  int chain = 0;   // nodes of the chain
  int beside = 0;  // nodes beside it, behind those
};

// The same for a tree: row i + 1 holds the logits after node i, row 0 those after the root. Goes down while the sample
// is the token of a child, and emits what accept_chain would of the path that it goes.
template <class Sample, class Emit>
AcceptedPath accept_tree(const TokenTree& tree, Sample&& sample, Emit&& emit) {
  AcceptedPath path;
  for (int node = TokenTree::kRoot;;) {
    const int32_t token = sample(static_cast<size_t>(node + 1));
    node = tree.child(node, token);
    if (node != TokenTree::kRoot) ++(node < tree.chain() ? path.chain : path.beside);
    if (!emit(token) || node == TokenTree::kRoot) return path;
  }
}

// What a tree proposes for the place behind a node, in the order in which it is tried. False: nothing that was drawn, so
// that comparing is all there is to do.
inline bool read_proposals(const TokenTree& tree, int node, std::vector<Proposal>& proposals) {
  proposals.clear();
  bool any_drawn = false;
  tree.for_children(node, [&](const TokenTree::Node& child) {
    proposals.push_back({child.token, child.from});
    any_drawn |= child.from != nullptr;
  });
  return any_drawn;
}

}  // namespace adaptive_spec
