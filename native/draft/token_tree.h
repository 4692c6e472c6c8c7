// A tree of guesses that one batch verifies: a chain, and other tokens beside it where the drafter was unsure, with what
// may follow those.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "draft/stop_rule.h"
#include "verify/distribution.h"

namespace adaptive_spec {

// Another token than the chain's at one of its places, or one that follows such a token, as a drafter sees it.
struct Guess {
  int place = 0;  // in the draft, from 0
  int32_t token = 0;
  float share = 0;         // probability of it, given that the chain's own token is wrong there, or that `below` is right
  int below = -1;          // the guess that it follows, one before it in the draft's list; -1: it is beside the chain
  double probability = 0;  // that it and all before it are right; TokenTree::weigh says it
  int branch = 0;          // of the draft model's cache that holds its row; 0: it wasn't asked what comes after it
  Distribution from = {};  // that it was drawn from, over target ids; empty: it is certain
};

// What of a draft a step may verify.
struct TreeBounds {
  int chain = 0;       // of the draft's tokens
  int nodes = 0;       // with guesses; 0: a chain alone, which is never cut for their sake
  int branches = 0;    // paths that leave the chain
  int rows = 1;        // that the step computes besides
  bool trims = false;  // of the chain, too, only what is worth its rows
  bool whole = false;  // all within these bounds, whatever it is worth: as it must be where tokens were drawn
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
    const Distribution* from = nullptr;  // that its token was drawn from; null: it is certain
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

  // The children of a node in the order in which they were added.
  template <class Take>
  void for_children(int parent, Take&& take) const {
    for (int i = parent + 1; i < static_cast<int>(nodes_.size()); ++i)
      if (nodes_[i].parent == parent) take(nodes_[i]);
  }

  // The sequences of the target's cache that a path goes by: bit 0 is the chain's, and each leaf beside it has one of
  // its own. Of `branches` bits besides bit 0, those that no leaf has follow the chain. A row per node. At most
  // `branches` leaves beside the chain; 30 bits are enough for what the engine's options allow.
  void assign_branches(int branches, std::vector<uint32_t>& of_nodes) const;
  // Depth of the last node of the chain (0: the root) that each leaf beside it hangs under; in order of their bits.
  void fork_depths(std::vector<int>& depths) const;

  // How probable it is that a guess and all before it are right. `signals`: of the draft's tokens.
  static void weigh(std::span<Guess> guesses, std::span<const Signals> signals, const AcceptanceModel& acceptance);
  // Becomes what of a draft is verified: of its chain and of guesses that have been weighed, the likeliest, a parent
  // before its children, within these bounds. With a price of time so many that expected tokens less their rows' price
  // are most. `drawn_from` is the chain's, one for each token or none at all; it and `guesses` must outlive the tree.
  // `rows_before`: of the step before, 0 if none.
  void grow(std::span<const int32_t> tokens, std::span<const Signals> signals, std::span<const Distribution> drawn_from,
            std::span<const Guess> guesses, const TreeBounds& bounds, const StopRule& stop, int rows_before);

 private:
  struct Candidate {
    int parent;          // one before it, or kRoot
    double probability;  // of its path
    double gain;         // tokens that it is expected to bring
    int node = kRoot;    // in the tree
    bool is_chosen = false, has_child = false;
  };

  int append(int parent, int32_t token, double path, bool in_chain, const Distribution* from);
  bool is_leaf(int node) const;
  // Puts candidates in the order in which they are worth a row, without those that are out of bounds.
  void rank(int chain, const TreeBounds& bounds);

  std::vector<Node> nodes_;
  int chain_ = 0;
  std::vector<Candidate> candidates_;  // the chain's, then guesses as they are listed
  std::vector<int> order_;             // of candidates
  std::vector<double> gains_;          // in that order
};

}  // namespace adaptive_spec
