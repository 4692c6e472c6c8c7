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

TEST("token tree: the likeliest guesses hang, within their limits") {
  const std::vector<Signals> signals(3, {.probability = 0.5f});
  const std::vector<Guess> guesses = {{0, 1, 0.2f}, {0, 2, 0.6f}, {1, 3, 0.9f}, {2, 4, 0.1f}, {3, 5, 1}, {0, 50, 1}};
  TokenTree tree = chain({50, 60, 70});
  tree.hang(guesses, signals, {}, 5, 9, 0);  // of place 0: .1, .3; of place 1: .225; of place 2: .0125
  CHECK_EQUAL(tree.beside(), 2);
  CHECK_EQUAL(tree.child(kRoot, 2), 3);
  CHECK_EQUAL(tree.child(0, 3), 4);
  tree = chain({50, 60, 70});
  tree.hang(guesses, signals, {}, 60, 1, 0);
  CHECK_EQUAL(tree.beside(), 1);
  tree = chain({50, 60, 70});
  tree.hang(guesses, signals, {}, 60, 9, 0);
  CHECK_EQUAL(tree.beside(), 4);  // neither behind the chain's end nor its own token
  tree = chain({50, 60, 70});
  tree.hang(guesses, signals, {}, 3, 9, 0);
  CHECK_EQUAL(tree.beside(), 0);
}

TEST("token tree: with a price of time, guesses hang where they are worth their rows, up to the next stair") {
  const std::vector<Signals> signals(1, {.probability = 0.5f});
  const std::vector<Guess> guesses = {{0, 1, 0.5f}, {0, 2, 0.3f}, {0, 3, 0.1f}};
  StopRule stop;
  stop.tokens_per_ms = 0.1;
  stop.curve = 6;
  const auto hung = [&](std::initializer_list<double> verify_ms) {
    std::copy(verify_ms.begin(), verify_ms.end(), stop.verify_ms.begin());
    TokenTree tree = chain({50});
    tree.hang(guesses, signals, stop, 60, 9, 0);
    return tree.beside();
  };
  CHECK_EQUAL(hung({10, 10, 10, 10, 10, 10}), 3);
  CHECK_EQUAL(hung({10, 11, 12, 13, 14, 15}), 2);  // .25 and .15 are above .1, .05 is not
  CHECK_EQUAL(hung({10, 14, 18, 22, 26, 30}), 0);
  CHECK_EQUAL(hung({10, 13, 16, 16, 16, 16}), 3);  // one isn't worth the stair, three are
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
