// Shape and sequences of a tree, and what of a draft it consists of.
#include "draft/token_tree.h"

#include <algorithm>
#include <numeric>

namespace adaptive_spec {

void TokenTree::clear() {
  nodes_.clear();
  chain_ = 0;
}

int TokenTree::add(int parent, int32_t token, double probability) {
  if (child(parent, token) != kRoot) return kRoot;
  const int index = static_cast<int>(nodes_.size());
  const bool continues = parent == index - 1 && chain_ == index;
  return append(parent, token, probability * (parent == kRoot ? 1 : nodes_[parent].probability), continues, nullptr);
}

int TokenTree::append(int parent, int32_t token, double path, bool in_chain, const Distribution* from) {
  nodes_.push_back({.token = token,
                    .parent = parent,
                    .depth = parent == kRoot ? 1 : nodes_[parent].depth + 1,
                    .probability = path,
                    .from = from && !from->empty() ? from : nullptr});
  chain_ += in_chain;
  return static_cast<int>(nodes_.size()) - 1;
}

int TokenTree::child(int parent, int32_t token) const {
  for (int i = parent + 1; i < static_cast<int>(nodes_.size()); ++i)
    if (nodes_[i].parent == parent && nodes_[i].token == token) return i;
  return kRoot;
}

bool TokenTree::is_leaf(int node) const {
  return std::none_of(nodes_.begin() + node + 1, nodes_.end(), [&](const Node& n) { return n.parent == node; });
}

void TokenTree::assign_branches(int branches, std::vector<uint32_t>& of_nodes) const {
  const int count = static_cast<int>(nodes_.size());
  of_nodes.assign(count, 0);
  uint32_t used = 1;
  int bit = 1;
  for (int leaf = chain_; leaf < count && bit <= branches; ++leaf) {
    if (!is_leaf(leaf)) continue;
    for (int node = leaf; node != kRoot; node = nodes_[node].parent) of_nodes[node] |= 1u << bit;
    used |= 1u << bit++;
  }
  const uint32_t all = (2u << branches) - 1;
  for (int node = 0; node < chain_; ++node) of_nodes[node] |= 1u | (all & ~used);
}

void TokenTree::fork_depths(std::vector<int>& depths) const {
  depths.clear();
  for (int leaf = chain_; leaf < static_cast<int>(nodes_.size()); ++leaf) {
    if (!is_leaf(leaf)) continue;
    int node = leaf;
    while (node >= chain_) node = nodes_[node].parent;
    depths.push_back(node == kRoot ? 0 : nodes_[node].depth);
  }
}

void TokenTree::weigh(std::span<Guess> guesses, std::span<const Signals> signals, const AcceptanceModel& acceptance) {
  for (Guess& guess : guesses) {
    double before = 1;
    if (guess.below >= 0) {
      before = guesses[guess.below].probability;
    } else {
      for (int i = 0; i < guess.place; ++i) before *= acceptance.of(signals[i], i);
      before *= 1 - acceptance.of(signals[guess.place], guess.place);
    }
    guess.probability = before * guess.share;
  }
}

void TokenTree::grow(std::span<const int32_t> tokens, std::span<const Signals> signals,
                     std::span<const Distribution> drawn_from, std::span<const Guess> guesses,
                     const TreeBounds& bounds, const StopRule& stop, int rows_before) {
  clear();
  const bool is_chain = guesses.empty() || bounds.nodes == 0;
  const int chain = bounds.trims && is_chain ? stop.trimmed(signals.first(bounds.chain), rows_before, bounds.rows)
                                             : bounds.chain;
  candidates_.clear();
  double path = 1;
  for (int i = 0; i < chain; ++i) {
    path *= stop.acceptance.of(signals[i], i);
    candidates_.push_back({.parent = i - 1, .probability = path, .gain = path});
  }
  // The row of a guess that was right is computed again in the next step, which has as many rows as this one or so.
  const double again = stop.row_price(bounds.rows + chain);
  for (const Guess& guess : guesses.first(is_chain ? 0 : guesses.size())) {
    const int index = static_cast<int>(candidates_.size());
    int parent = guess.below < 0 ? guess.place - 1 : chain + guess.below;
    if (guess.below < 0 && guess.place >= chain) parent = index;  // there is nothing that it could be beside
    candidates_.push_back(
        {.parent = parent, .probability = guess.probability, .gain = guess.probability * (1 - again)});
  }
  rank(chain, bounds);
  const int sure = bounds.trims && !is_chain ? 0 : chain;
  int chosen = static_cast<int>(order_.size());
  if (!bounds.whole && !is_chain)
    chosen = sure + stop.worth_rows(std::span<const double>(gains_).subspan(sure), bounds.rows + sure, rows_before);
  for (Candidate& candidate : candidates_) candidate.is_chosen = false;
  for (int i = 0; i < chosen; ++i) candidates_[order_[i]].is_chosen = true;
  for (int i = 0; i < static_cast<int>(candidates_.size()); ++i) {
    Candidate& candidate = candidates_[i];
    if (!candidate.is_chosen) continue;
    const bool beside = i >= chain;
    const int parent = candidate.parent == kRoot ? kRoot : candidates_[candidate.parent].node;
    const Distribution* from = beside ? &guesses[i - chain].from : drawn_from.empty() ? nullptr : &drawn_from[i];
    candidate.node =
        append(parent, beside ? guesses[i - chain].token : tokens[i], candidate.probability, !beside, from);
  }
}

void TokenTree::rank(int chain, const TreeBounds& bounds) {
  const auto all = static_cast<int>(candidates_.size());
  order_.resize(all);
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin() + (bounds.trims ? 0 : chain), order_.end(),
                   [this](int a, int b) { return candidates_[a].gain > candidates_[b].gain; });
  int count = 0, beside = 0, branches = 0;
  for (const int i : order_) {
    Candidate& candidate = candidates_[i];
    Candidate* const parent = candidate.parent == kRoot ? nullptr : &candidates_[candidate.parent];
    const bool is_beside = i >= chain;
    // The first to follow a guess goes on by that one's path.
    const bool leaves = is_beside && (candidate.parent < chain || parent->has_child);
    if (parent && !parent->is_chosen) continue;
    if (branches + leaves > bounds.branches || (count >= bounds.nodes && beside + is_beside > 0)) continue;
    candidate.is_chosen = true;
    if (parent) parent->has_child |= is_beside;
    order_[count++] = i;
    beside += is_beside;
    branches += leaves;
  }
  order_.resize(count);
  gains_.clear();
  for (int i : order_) gains_.push_back(candidates_[i].gain);
}

}  // namespace adaptive_spec
