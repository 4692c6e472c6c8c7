// A tree of guesses that one batch verifies: a chain, and other tokens beside it where the drafter was unsure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "draft/stop_rule.h"

namespace adaptive_spec {

// Another token than the chain's at one of its places, as a drafter sees it.
struct Guess {
  int place = 0;  // in the draft, from 0
  int32_t token = 0;
  float share = 0;  // probability of it, given that the chain's own token is wrong there
};

// Nodes stand in the order in which a batch holds them: the chain first, a parent before its children. So cells of a
// path lie in the order of its positions.
class TokenTree {
 public:
  static constexpr int kRoot = -1;  // the last accepted token

  struct Node {
    int32_t token;
    int parent;          // a node, or kRoot
    int depth;           // 1: a child of the root
    double probability;  // that all of its path is right
  };

  void clear();
  // `probability`: of the token, given that its parent is right. Answers the node; kRoot where the parent has a child
  // with that token, which a second one would never be reached beside.
  int add(int parent, int32_t token, double probability);
  // The nodes that follow each other from the root and came first.
  int chain() const { return chain_; }
  // The nodes beside the chain.
  int beside() const { return static_cast<int>(nodes_.size()) - chain_; }
  std::span<const Node> nodes() const { return nodes_; }
  // The parent's child with that token, or kRoot.
  int child(int parent, int32_t token) const;

  // The sequences of the target's cache that a path goes by: bit 0 is the chain's, and each leaf beside it has one of
  // its own. Of `branches` bits besides bit 0, those that no leaf has follow the chain. A row per node. At most
  // `branches` leaves beside the chain; 30 bits are enough for what the engine's options allow.
  void assign_branches(int branches, std::vector<uint32_t>& of_nodes) const;
  // Depth of the last node of the chain (0: the root) that each leaf beside it hangs under; in order of their bits.
  void fork_depths(std::vector<int>& depths) const;

  // Hangs guesses beside the chain, the likeliest first: up to `nodes` nodes in all and `branches` guesses. With a
  // price of time, only as many as are worth the rows that they add to those of the chain. `rows_before`: of the
  // step before, 0 if none.
  void hang(std::span<const Guess> guesses, std::span<const Signals> signals, const StopRule& stop, int nodes,
            int branches, int rows_before);

 private:
  bool is_leaf(int node) const;

  struct Candidate {
    Guess guess;
    double probability;  // of its path
  };

  std::vector<Node> nodes_;
  int chain_ = 0;
  std::vector<Candidate> candidates_;
  std::vector<double> gains_;
};

}  // namespace adaptive_spec
