// Shape and sequences of a tree, and which guesses hang on it.
#include "draft/token_tree.h"

#include <algorithm>

namespace adaptive_spec {

void TokenTree::clear() {
  nodes_.clear();
  chain_ = 0;
}

int TokenTree::add(int parent, int32_t token, double probability) {
  if (child(parent, token) != kRoot) return kRoot;
  const int index = static_cast<int>(nodes_.size());
  const bool continues = parent == index - 1 && chain_ == index;
  nodes_.push_back({.token = token,
                    .parent = parent,
                    .depth = parent == kRoot ? 1 : nodes_[parent].depth + 1,
                    .probability = probability * (parent == kRoot ? 1 : nodes_[parent].probability)});
  chain_ += continues;
  return index;
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

void TokenTree::hang(std::span<const Guess> guesses, std::span<const Signals> signals, const StopRule& stop, int nodes,
                     int branches, int rows_before) {
  candidates_.clear();
  for (const Guess& guess : guesses) {
    if (guess.place >= chain_) continue;
    const double before = guess.place == 0 ? 1 : nodes_[guess.place - 1].probability;
    const double wrong = 1 - stop.acceptance.of(signals[guess.place], guess.place);
    candidates_.push_back({guess, before * wrong * guess.share});
  }
  std::stable_sort(candidates_.begin(), candidates_.end(),
                   [](const Candidate& a, const Candidate& b) { return a.probability > b.probability; });
  int most = std::max(0, std::min(nodes - chain_, branches));
  gains_.clear();
  for (const Candidate& candidate : candidates_) gains_.push_back(candidate.probability);
  most = std::min(most, stop.worth_beside(gains_, chain_ + 1, rows_before));
  for (const auto& [guess, probability] : candidates_) {
    if (beside() >= most) break;
    const double before = guess.place == 0 ? 1 : nodes_[guess.place - 1].probability;
    add(guess.place - 1, guess.token, before > 0 ? probability / before : 0);
  }
}

}  // namespace adaptive_spec
