// Tests that sample-and-compare gives the target's distribution, of chains and of trees: on a model that can be
// enumerated, 100,000 texts for each setting, a G-test for every beginning of a text. With its seed a text is also
// plain decoding's. Mistakes are made on purpose, and must be found.
#include <algorithm>

#include "test/enumerable.h"
#include "verify/accept.h"

namespace adaptive_spec {
namespace {

using test::check_at_all_temperatures, test::check_caught, test::Emit, test::kDepth, test::kIds, test::kLength;
using test::Model, test::Text;
using Tokens = std::vector<int32_t>;

// A step emits one token more than it drafts.
int depth_after(const Tokens& before, const Text& text) {
  return std::min<int>(test::spiteful(before), kLength - 1 - static_cast<int>(text.length));
}

// The draft's likeliest token, but for every third text, where an n-gram would say something else.
int32_t proposal(Model& model, const Text& text) {
  if (text.code % 3 == 0) return static_cast<int32_t>(text.code / 3 % kIds);
  const Distribution& q = model.draft(text);
  return std::max_element(q.begin(), q.end(), [](const auto& a, const auto& b) { return a.value < b.value; })->id;
}

// A row's token: the target's own, or what a mistake makes of it. `proposed`: what stands in the draft at this place.
using Sample = std::function<int32_t(Sampler&, Model&, const Text&, std::span<const int32_t> proposed)>;

int32_t own(Sampler& sampler, Model& model, const Text& text, std::span<const int32_t> = {}) {
  std::array<float, kIds> row = model.row(text);
  return sampler.sample(row.data());
}

Sampler sampler_of(const Model& model, uint32_t seed) {
  SamplingParams params = model.params();
  params.seed = seed;
  return {params, {}, {}, kIds};
}

test::Texts chains(const Sample& sample = own) {
  return [sample](Model& model, uint32_t seed, const Emit& emit) {
    Sampler sampler = sampler_of(model, seed);
    Text text;
    Tokens draft;
    while (text.length < kLength) {
      const int depth = depth_after(draft, text);
      draft.clear();
      for (Text with_draft = text; static_cast<int>(draft.size()) < depth; with_draft.add(draft.back()))
        draft.push_back(proposal(model, with_draft));
      accept_chain(
          draft,
          [&](size_t row) {
            const std::span<const int32_t> proposed(draft);
            return sample(sampler, model, text, proposed.subspan(row, row < draft.size() ? 1 : 0));
          },
          [&](int32_t token) {
            emit(text, token);
            text.add(token);
            return text.length < kLength;
          });
    }
  };
}

// A tree of up to six nodes more than its chain, anywhere on it and on each other.
void grow(TokenTree& tree, std::vector<Text>& texts, Model& model, const Text& root, int depth, uint32_t seed) {
  tree.clear();
  texts.assign(1, root);  // by row: after the root, then after each node
  const auto add = [&](int parent, int32_t token) {
    const Text after = texts[parent + 1].with(token);
    // A second child with that token is none; rows behind the end of the text are never sampled.
    if (after.length < kLength && tree.add(parent, token, 0.5) != TokenTree::kRoot) texts.push_back(after);
  };
  for (int i = 0; i < depth; ++i) add(i - 1, proposal(model, texts[i]));
  for (int i = 0; i < 6 && depth > 0; ++i) {
    const auto number = [&](uint64_t detail) { return uniform_at(seed, Use::kDraft, root.length, detail); };
    const int parent = static_cast<int>(number(2 * i) * static_cast<double>(texts.size())) - 1;
    add(parent, draw(model.draft(texts[parent + 1]), number(2 * i + 1)));
  }
}

test::Texts trees(const Sample& sample = own) {
  return [sample](Model& model, uint32_t seed, const Emit& emit) {
    Sampler sampler = sampler_of(model, seed);
    Text text;
    TokenTree tree;
    std::vector<Text> texts;
    Tokens chain, children;
    while (text.length < kLength) {
      const int depth = depth_after(chain, text);
      grow(tree, texts, model, text, depth, seed);
      chain.clear();
      for (int i = 0; i < tree.chain(); ++i) chain.push_back(tree.nodes()[i].token);
      accept_tree(
          tree,
          [&](size_t row) {
            children.clear();
            for (const TokenTree::Node& node : tree.nodes())
              if (node.parent + 1 == static_cast<int>(row)) children.push_back(node.token);
            // Of the row, not of the text: a wrong row would be found.
            return sample(sampler, model, texts[row], children);
          },
          [&](int32_t token) {
            emit(text, token);
            text.add(token);
            return text.length < kLength;
          });
    }
  };
}

// The same, some of the texts compared with plain decoding's.
test::Texts as_plain(const test::Texts& texts) {
  return [texts](Model& model, uint32_t seed, const Emit& emit) {
    Text whole;
    texts(model, seed, [&](const Text& text, int32_t token) {
      emit(text, token);
      whole = text.with(token);
    });
    if (seed % 16 != 0) return;
    Sampler sampler = sampler_of(model, seed);
    Text plain;
    while (plain.length < kLength) plain.add(own(sampler, model, plain));
    CHECK_EQUAL(whole.code, plain.code);
  };
}

TEST("compare: chains have the target's distribution at every temperature, and each seed has plain decoding's text") {
  check_at_all_temperatures(as_plain(chains()));
}

TEST("compare: trees have the target's distribution at every temperature, and each seed has plain decoding's text") {
  check_at_all_temperatures(as_plain(trees()));
}

TEST("compare: the test finds a draft's token that is taken for being likely enough") {
  const Sample typical = [](Sampler& sampler, Model& model, const Text& text, std::span<const int32_t> proposed) {
    for (int32_t token : proposed)
      if (probability_of(model.target(text), token) > 0.5f) return token;
    return own(sampler, model, text);
  };
  check_caught(chains(typical));
  check_caught(trees(typical));
}

TEST("compare: the test finds a row of a tree that is sampled anew for each of its children") {
  check_caught(trees([](Sampler& sampler, Model& model, const Text& text, std::span<const int32_t> children) {
    for (int32_t child : children)
      if (own(sampler, model, text) == child) return child;
    return own(sampler, model, text);
  }));
}

}  // namespace
}  // namespace adaptive_spec
