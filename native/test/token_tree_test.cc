// Tests of TokenTree and accept_tree: shape, sequences, which guesses hang, and which path is accepted.
#include "draft/token_tree.h"

#include <algorithm>
#include <set>
#include <vector>

#include "test/harness.h"
#include "test/random.h"
#include "verify/accept.h"

namespace adaptive_spec {
namespace {

using Tokens = std::vector<int32_t>;
constexpr int kRoot = TokenTree::kRoot;

TokenTree chain(const Tokens& tokens, double probability = 0.5) {
  TokenTree tree;
  for (size_t i = 0; i < tokens.size(); ++i) tree.add(static_cast<int>(i) - 1, tokens[i], probability);
  return tree;
}

TokenTree random_tree(test::Random& random, int most_nodes, int most_leaves) {
  TokenTree tree;
  std::set<int> parents_beside;
  for (int i = 0, depth = random.below(most_nodes); i < depth; ++i) tree.add(i - 1, random.below(4), random.uniform());
  int leaves = 0;
  while (static_cast<int>(tree.nodes().size()) < most_nodes && random.below(6) > 0) {
    const int parent = random.below(static_cast<int>(tree.nodes().size()) + 1) - 1;
    // Under a leaf beside the chain the number of leaves stays; everywhere else it grows.
    const bool grows = parent < tree.chain() || parents_beside.contains(parent);
    if (grows && leaves == most_leaves) continue;
    if (tree.add(parent, random.below(4), random.uniform()) == kRoot) continue;
    leaves += grows && static_cast<int>(tree.nodes().size()) > tree.chain();
    if (parent >= tree.chain()) parents_beside.insert(parent);
  }
  return tree;
}

TEST("token tree: the chain is what continues from the root, a second child with the same token is refused") {
  TokenTree tree = chain({5, 6, 7});
  CHECK_EQUAL(tree.chain(), 3);
  CHECK_EQUAL(tree.add(kRoot, 5, 0.1), kRoot);
  CHECK_EQUAL(tree.add(0, 7, 0.4), 3);
  CHECK_EQUAL(tree.add(3, 8, 0.5), 4);
  CHECK_EQUAL(tree.chain(), 3);
  CHECK_EQUAL(tree.beside(), 2);
  CHECK_EQUAL(tree.nodes()[4].depth, 3);
  CHECK(std::abs(tree.nodes()[4].probability - 0.5 * 0.4 * 0.5) < 1e-12);
  CHECK_EQUAL(tree.child(0, 7), 3);
  CHECK_EQUAL(tree.child(0, 8), kRoot);
  tree.clear();
  CHECK_EQUAL(tree.chain() + tree.beside(), 0);
}

TEST("token tree: a row sees another one's cell that doesn't lie on its path, or misses one that does") {
  test::Random random(7);
  std::vector<uint32_t> branches;
  std::vector<int> forks;
  int trees = 0;
  for (int round = 0; round < 3000; ++round) {
    constexpr int kBranches = 5;
    const TokenTree tree = random_tree(random, 14, kBranches);
    const int count = static_cast<int>(tree.nodes().size());
    tree.assign_branches(kBranches, branches);
    tree.fork_depths(forks);
    REQUIRE(static_cast<int>(branches.size()) == count && static_cast<int>(forks.size()) <= kBranches);
    trees += !forks.empty();
    for (int row = 0; row < count; ++row) {
      const uint32_t first = branches[row] & -branches[row];
      CHECK(first != 0);
      std::set<int> path;
      for (int node = row; node != kRoot; node = tree.nodes()[node].parent) path.insert(node);
      // What llama.cpp's mask lets a row see: cells of its first sequence at its position or before.
      for (int cell = 0; cell < count; ++cell) {
        const bool sees = (branches[cell] & first) && tree.nodes()[cell].depth <= tree.nodes()[row].depth;
        if (sees != path.contains(cell)) test::fail(__FILE__, __LINE__, "row " + std::to_string(row));
      }
    }
    // Each sequence's positions follow each other in the order of the batch, without a gap.
    for (int bit = 0; bit <= kBranches; ++bit) {
      int depth = 0;
      for (int node = 0; node < count; ++node)
        if (branches[node] >> bit & 1) CHECK_EQUAL(tree.nodes()[node].depth, ++depth);
    }
    for (size_t i = 0; i < forks.size(); ++i)
      for (int node = 0; node < tree.chain(); ++node)
        CHECK_EQUAL(bool(branches[node] >> (i + 1) & 1), tree.nodes()[node].depth <= forks[i]);
  }
  CHECK(trees > 1000);
}

// What becomes of a draft of these tokens, each right with probability 1/2, and of these guesses.
TokenTree grown(const Tokens& tokens, std::vector<Guess> guesses, const TreeBounds& bounds, const StopRule& stop = {}) {
  const std::vector<Signals> signals(tokens.size(), {.probability = 0.5f});
  TokenTree::weigh(guesses, signals, stop.acceptance);
  TokenTree tree;
  tree.grow(tokens, signals, {}, guesses, bounds, stop, 0);
  return tree;
}

int leaves(const TokenTree& tree) {
  std::vector<int> forks;
  tree.fork_depths(forks);
  return static_cast<int>(forks.size());
}

TEST("token tree: the likeliest guesses hang, within their limits") {
  const std::vector<Guess> guesses = {{0, 1, 0.2f}, {0, 2, 0.6f}, {1, 3, 0.9f}, {2, 4, 0.1f}};
  const Tokens draft = {50, 60, 70};
  // Of place 0: .1, .3; of place 1: .225; of place 2: .0125.
  TokenTree tree = grown(draft, guesses, {.chain = 3, .nodes = 5, .branches = 9});
  CHECK_EQUAL(tree.beside(), 2);
  CHECK_EQUAL(tree.child(kRoot, 2), 3);
  CHECK_EQUAL(tree.child(0, 3), 4);
  CHECK(std::abs(tree.nodes()[3].probability - 0.3) < 1e-6 && std::abs(tree.nodes()[4].probability - 0.225) < 1e-6);
  CHECK_EQUAL(grown(draft, guesses, {.chain = 3, .nodes = 60, .branches = 1}).beside(), 1);
  CHECK_EQUAL(grown(draft, guesses, {.chain = 3, .nodes = 60, .branches = 9}).beside(), 4);
  // The chain is not cut for guesses without a price of time; behind what a plan verifies of it there are none.
  tree = grown(draft, guesses, {.chain = 3, .nodes = 3, .branches = 9});
  CHECK(tree.chain() == 3 && tree.beside() == 0);
  tree = grown(draft, guesses, {.chain = 1, .nodes = 60, .branches = 9});
  CHECK(tree.chain() == 1 && tree.beside() == 2);
  CHECK_EQUAL(grown(draft, guesses, {.chain = 0, .nodes = 60, .branches = 9}).beside(), 0);
  CHECK_EQUAL(grown(draft, guesses, {.chain = 3, .nodes = 0, .branches = 9}).beside(), 0);
}

TEST("token tree: what follows a guess hangs below it, on the guess's own branch unless that is taken") {
  // Below the guess 9 of place 0 (.4): 8 (.36) with 7 (.18) and 6 (.09) below it; beside 8 there is 5 (.04).
  const std::vector<Guess> guesses = {
      {0, 9, 0.8f}, {1, 8, 0.9f, 0}, {2, 7, 0.5f, 1}, {2, 6, 0.25f, 1}, {1, 5, 0.1f, 0}, {1, 4, 0.1f}};
  TokenTree tree = grown({50, 60}, guesses, {.chain = 2, .nodes = 60, .branches = 9});
  CHECK_EQUAL(tree.beside(), 6);
  CHECK_EQUAL(leaves(tree), 4);
  const int nine = tree.child(kRoot, 9), eight = tree.child(nine, 8);
  REQUIRE(nine != kRoot && eight != kRoot && tree.child(eight, 7) != kRoot && tree.child(eight, 6) != kRoot);
  CHECK_EQUAL(tree.nodes()[tree.child(eight, 7)].depth, 3);
  CHECK(std::abs(tree.nodes()[tree.child(eight, 7)].probability - 0.18) < 1e-6);
  // One branch is one path: its likeliest. A second one leaves it where that is likeliest.
  tree = grown({50, 60}, guesses, {.chain = 2, .nodes = 60, .branches = 1});
  CHECK_EQUAL(tree.beside(), 3);
  CHECK_EQUAL(leaves(tree), 1);
  tree = grown({50, 60}, guesses, {.chain = 2, .nodes = 60, .branches = 2});
  CHECK_EQUAL(tree.beside(), 4);
  CHECK(tree.child(tree.child(tree.child(kRoot, 9), 8), 6) != kRoot);
  // Nodes that there is no room for leave none of theirs behind.
  tree = grown({50, 60}, guesses, {.chain = 2, .nodes = 4, .branches = 9});
  CHECK_EQUAL(tree.beside(), 2);
  CHECK(tree.child(tree.child(kRoot, 9), 8) != kRoot);
}

TEST("token tree: with a price of time, guesses hang where they are worth their rows, up to the next stair") {
  const std::vector<Guess> guesses = {{0, 1, 0.5f}, {0, 2, 0.3f}, {0, 3, 0.1f}};
  StopRule stop;
  stop.tokens_per_ms = 0.1;
  stop.curve = 6;
  const auto hung = [&](std::initializer_list<double> verify_ms, int rows = 1) {
    std::copy(verify_ms.begin(), verify_ms.end(), stop.verify_ms.begin());
    return grown({50}, guesses, {.chain = 1, .nodes = 60, .branches = 9, .rows = rows}, stop).beside();
  };
  CHECK_EQUAL(hung({10, 10, 10, 10, 10, 10}), 3);
  CHECK_EQUAL(hung({10, 11, 12, 13, 14, 15}), 2);  // .25 and .15 are above .1, .05 is not
  CHECK_EQUAL(hung({10, 14, 18, 22, 26, 30}), 0);
  CHECK_EQUAL(hung({10, 13, 16, 16, 16, 16}), 3);  // one isn't worth the stair, three are
  CHECK_EQUAL(hung({10, 13, 18, 18, 18, 18}), 0);
  CHECK_EQUAL(hung({10, 13, 18, 18, 18, 18}, 2), 3);  // a row that is read again has climbed it
}

TEST("token tree: of chain and guesses together those are taken that bring most for their rows' price") {
  test::Random random(4);
  std::set<int> chains;
  int deep = 0;
  for (int round = 0; round < 2000; ++round) {
    Tokens draft;
    std::vector<Signals> signals;
    for (int i = 0, n = 1 + random.below(5); i < n; ++i) {
      draft.push_back(100 + i);
      signals.push_back({.probability = static_cast<float>(0.05 + 0.9 * random.uniform())});
    }
    std::vector<Guess> guesses;
    for (int i = 0, n = random.below(7); i < n; ++i) {
      const int below = i == 0 ? -1 : random.below(2 * i) - i;
      const int place = below < 0 ? random.below(static_cast<int>(draft.size())) : guesses[below].place + 1;
      guesses.push_back({place, i, static_cast<float>(random.uniform()), std::max(below, -1)});
    }
    StopRule stop;
    stop.tokens_per_ms = 0.05 + 0.1 * random.uniform();
    stop.curve = 14;
    for (int i = 0; i < stop.curve; ++i)
      stop.verify_ms[i] = i == 0 ? 10 : stop.verify_ms[i - 1] + (random.below(3) == 0 ? 4 * random.uniform() : 0);
    const TreeBounds bounds{.chain = static_cast<int>(draft.size()),
                            .nodes = round % 4 == 0 ? 1 + random.below(6) : 60,
                            .branches = 9,
                            .rows = 1 + random.below(2),
                            .trims = true};
    TokenTree::weigh(guesses, signals, stop.acceptance);
    TokenTree tree;
    tree.grow(draft, signals, {}, guesses, bounds, stop, 0);

    CHECK(tree.beside() == 0 || static_cast<int>(tree.nodes().size()) <= bounds.nodes);
    if (bounds.nodes < 60) continue;  // where they are short, the likeliest have them

    const double again = stop.row_price(bounds.rows + bounds.chain);
    const auto worth = [&](double chain, double beside, int count) {
      return chain + beside * (1 - again) - stop.tokens_per_ms * stop.verify_ms[bounds.rows + count - 1];
    };
    double chain = 0, beside = 0;
    for (int i = 0; i < static_cast<int>(tree.nodes().size()); ++i)
      (i < tree.chain() ? chain : beside) += tree.nodes()[i].probability;
    const double reached = worth(chain, beside, static_cast<int>(tree.nodes().size()));
    // All other trees: so much of the chain, and any of the guesses whose parents are there.
    double best = -1e9;
    for (int k = 0; k <= bounds.chain; ++k) {
      double of_chain = 0, path = 1;
      for (int i = 0; i < k; ++i) of_chain += path *= signals[i].probability;
      for (unsigned set = 0; set < 1u << guesses.size(); ++set) {
        double of_guesses = 0;
        int count = k;
        bool hangs = true;
        for (size_t i = 0; i < guesses.size(); ++i) {
          if (!(set >> i & 1)) continue;
          hangs &= guesses[i].below < 0 ? guesses[i].place <= k : (set >> guesses[i].below & 1) == 1;
          of_guesses += guesses[i].probability;
          ++count;
        }
        if (hangs) best = std::max(best, worth(of_chain, of_guesses, count));
      }
    }
    CHECK(reached > best - 1e-9);
    chains.insert(tree.chain());
    for (const TokenTree::Node& node : tree.nodes()) deep += node.parent >= tree.chain();
  }
  CHECK(chains.size() == 6);
  CHECK(deep > 100);
}

struct Outcome {
  AcceptedPath path;
  Tokens emitted;
};

Outcome accept(const TokenTree& tree, const Tokens& target, size_t limit = 1000) {
  Outcome outcome;
  outcome.path = accept_tree(
      tree, [&](size_t row) { return target.at(row); },
      [&](int32_t token) {
        outcome.emitted.push_back(token);
        return outcome.emitted.size() < limit;
      });
  return outcome;
}

TEST("accept_tree: a right guess beside the chain is accepted, and its row gives one token more") {
  TokenTree tree = chain({5, 6});
  tree.add(0, 7, 0.2);
  const Outcome outcome = accept(tree, {5, 7, 9, 8});
  CHECK_EQUAL(outcome.path.chain, 1);
  CHECK_EQUAL(outcome.path.beside, 1);
  CHECK_EQUAL(outcome.emitted, (Tokens{5, 7, 8}));
  CHECK_EQUAL(accept(tree, {5, 6, 4, 8}).emitted, (Tokens{5, 6, 4}));
  CHECK_EQUAL(accept(tree, {5, 1, 9, 8}).emitted, (Tokens{5, 1}));
  CHECK_EQUAL(accept(tree, {7, 1, 9, 8}).emitted, Tokens{7});
}

TEST("accept_tree: any tree emits a beginning of the target's own text, as long as the text is in it") {
  test::Random random(9);
  for (int round = 0; round < 3000; ++round) {
    const TokenTree tree = random_tree(random, 12, 6);
    // The target's token after a row depends on the path alone.
    Tokens target{random.below(4)};
    for (size_t i = 0; i < tree.nodes().size(); ++i) target.push_back(random.below(4));
    const size_t limit = 1 + random.below(8);
    const Outcome outcome = accept(tree, target, limit);
    int node = kRoot;
    size_t at = 0;
    for (; at < outcome.emitted.size(); ++at) {
      CHECK_EQUAL(outcome.emitted[at], target[node + 1]);
      node = tree.child(node, outcome.emitted[at]);
      if (node == kRoot) {
        ++at;
        break;
      }
    }
    CHECK_EQUAL(at, outcome.emitted.size());
    CHECK(node == kRoot || outcome.emitted.size() == limit);
    CHECK_EQUAL(static_cast<size_t>(outcome.path.chain + outcome.path.beside), outcome.emitted.size() - (node == kRoot));
  }
}

TEST("accept_tree: a chain is accepted as accept_chain does") {
  test::Random random(5);
  for (int round = 0; round < 500; ++round) {
    Tokens draft, target;
    for (int i = 0, n = random.below(6); i < n; ++i) draft.push_back(random.below(2));
    for (size_t i = 0; i <= draft.size(); ++i) target.push_back(random.below(2));
    const size_t limit = 1 + random.below(7);
    Tokens emitted;
    const int accepted = accept_chain(
        draft, [&](size_t row) { return target.at(row); },
        [&](int32_t token) {
          emitted.push_back(token);
          return emitted.size() < limit;
        });
    const Outcome outcome = accept(chain(draft), target, limit);
    CHECK_EQUAL(outcome.path.chain, accepted);
    CHECK_EQUAL(outcome.path.beside, 0);
    CHECK_EQUAL(outcome.emitted, emitted);
  }
}

}  // namespace
}  // namespace adaptive_spec
