// Tests of llama.cpp's n-gram drafters behind our interface: proposals, depths, and what they keep between steps.
#include <algorithm>
#include <vector>

#include "draft/common_drafter.h"
#include "test/harness.h"
#include "test/place_guide.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

using Tokens = std::vector<int32_t>;
const Tokens kNever = {7};
constexpr int kMaxDepth = 16;

// A passage of 40 tokens, over and over.
Tokens loop(int length) {
  Tokens text;
  for (int i = 0; i < length; ++i) text.push_back(100 + i % 40);
  return text;
}

Draft draft_of(const Tokens& accepted, int depth, int seq = 0) {
  Draft draft;
  draft.seq = seq;
  draft.accepted = accepted;
  draft.depth = depth;
  return draft;
}

void extend(Drafter& drafter, Draft& draft) {
  Draft* drafts[] = {&draft};
  drafter.extend(drafts);
}

}  // namespace

TEST("llama.cpp's drafters: each goes on with a passage that it has seen, to the depth that is asked for") {
  const Tokens text = loop(200);
  for (const std::string& name : CommonDrafter::names())
    for (int depth : {1, 4, 8}) {
      CommonDrafter drafter(name, 1, kMaxDepth, kNever);
      Draft draft = draft_of(text, depth);
      extend(drafter, draft);
      CHECK_EQUAL(draft.tokens.size(), static_cast<size_t>(depth));
      for (int i = 0; i < depth; ++i) CHECK_EQUAL(draft.tokens[i], 100 + (200 + i) % 40);
      for (const Signals& signals : draft.signals) CHECK(!signals.told());
    }
}

TEST("llama.cpp's drafters: a draft that was begun grows on, and another drafter's is left alone") {
  const Tokens text = loop(200);
  for (const std::string& name : CommonDrafter::names()) {
    CommonDrafter drafter(name, 1, kMaxDepth, kNever);
    Draft draft = draft_of(text, 1);
    extend(drafter, draft);
    draft.depth = 6;
    extend(drafter, draft);
    CHECK_EQUAL(draft.tokens.size(), 6u);
    Draft other = draft_of(text, 6);
    other.offer(55, {.probability = 1});
    extend(drafter, other);
    CHECK(other.stopped);
    CHECK_EQUAL(other.tokens.size(), 1u);
  }
}

TEST("llama.cpp's drafters: no rule stops at tokens that come without a probability, nor trims them") {
  StopRule stop{.min_probability = 0.9, .max_entropy = 0.1, .min_acceptance = 0.9, .min_survival = 0.9,
                .tokens_per_ms = 1e6, .draft_ms = 1, .ahead = 0.5, .curve = 2};
  stop.verify_ms = {1, 2};
  const Tokens text = loop(200);
  CommonDrafter drafter("ngram-simple", 1, kMaxDepth, kNever);
  Draft draft = draft_of(text, 5);
  draft.stop = &stop;
  extend(drafter, draft);
  CHECK_EQUAL(draft.tokens.size(), 5u);
  draft.depth = 6;
  CHECK(draft.wants(draft.signals[0]));
  CHECK_EQUAL(stop.trimmed(draft.signals, 1), 5);
}

TEST("llama.cpp's drafters: an end of generation ends a draft that masks it") {
  Tokens text = loop(200);
  for (size_t i = 3; i < text.size(); i += 40) text[i] = 7;
  for (const std::string& name : CommonDrafter::names()) {
    CommonDrafter drafter(name, 1, kMaxDepth, kNever);
    Draft draft = draft_of(text, 8);
    draft.mask_eog = true;
    extend(drafter, draft);
    CHECK_EQUAL(draft.tokens.size(), 3u);
    CHECK(draft.stopped);
  }
}

TEST("llama.cpp's drafters: what a grammar forces is in the draft first, and a proposal that agrees goes on behind it") {
  const Tokens text = loop(200);
  for (const std::string& name : CommonDrafter::names()) {
    CommonDrafter drafter(name, 1, kMaxDepth, kNever);
    test::PlaceGuide guide;
    guide.forces = {{0, 100}, {1, 101}, {4, 104}};
    Draft draft = draft_of(text, 6);
    draft.guide = &guide;
    extend(drafter, draft);
    CHECK_EQUAL(draft.tokens, (Tokens{100, 101, 102, 103, 104, 105}));
    for (int i = 0; i < 6; ++i) {
      const bool is_forced = guide.forces.contains(i);
      CHECK(draft.signals[i].origin == (is_forced ? Origin::kGrammar : Origin::kNgram));
      CHECK_EQUAL(draft.signals[i].told(), is_forced);
    }
  }
}

TEST("llama.cpp's drafters: a proposal that differs from what a grammar forces ends behind it, also where there is none") {
  const Tokens text = loop(200), never_twice = {50, 51, 52, 53, 54};
  for (const std::string& name : CommonDrafter::names())
    for (const Tokens& accepted : {text, never_twice}) {
      CommonDrafter drafter(name, 1, kMaxDepth, kNever);
      test::PlaceGuide guide;
      guide.forces = {{0, 100}, {1, 55}, {2, 102}};
      Draft draft = draft_of(accepted, 6);
      draft.guide = &guide;
      extend(drafter, draft);
      CHECK_EQUAL(draft.tokens, (Tokens{100, 55, 102}));
      CHECK(draft.stopped);
    }
}

TEST("llama.cpp's drafters: a token that a grammar forbids ends the draft, and no more is forced than is asked for") {
  const Tokens text = loop(200);
  for (const std::string& name : CommonDrafter::names()) {
    CommonDrafter drafter(name, 1, kMaxDepth, kNever);
    test::PlaceGuide guide;
    guide.permits = [](int, int32_t token) { return token < 103; };
    Draft draft = draft_of(text, 6);
    draft.guide = &guide;
    extend(drafter, draft);
    CHECK_EQUAL(draft.tokens, (Tokens{100, 101, 102}));
    CHECK(draft.stopped);
    guide.forces = {{0, 7}, {1, 8}, {2, 9}};
    draft.clear();
    draft.depth = 2;
    extend(drafter, draft);
    CHECK_EQUAL(draft.tokens, (Tokens{7, 8}));
    CHECK(!draft.stopped);
  }
}

TEST("llama.cpp's drafters: sequences, steps and ends in any order leave every draft within bounds") {
  test::Random random(11);
  for (const std::string& name : CommonDrafter::names()) {
    CommonDrafter drafter(name, 3, kMaxDepth, kNever);
    Tokens texts[3];
    for (int step = 0; step < 1500; ++step) {
      const int seq = random.below(3);
      Tokens& text = texts[seq];
      if (text.empty() || text.size() > 600) {
        drafter.end(seq, 0);
        text = loop(1 + random.below(150));
      }
      const int length = static_cast<int>(text.size());
      Draft draft = draft_of(text, 1 + random.below(kMaxDepth), seq);
      if (random.below(4) > 0) extend(drafter, draft);
      CHECK(static_cast<int>(draft.tokens.size()) <= draft.depth);
      const int kept = random.below(kMaxDepth + 1);
      drafter.roll_back(seq, length, kept);
      for (int i = 0; i <= kept; ++i) text.push_back(random.below(5) > 0 ? 100 + (length + i) % 40 : random.below(90));
    }
  }
}

TEST("llama.cpp's drafters: what ended is forgotten, but by ngram-mod, which keeps one table") {
  const Tokens text = loop(200);
  const Tokens other(text.begin() + 120, text.begin() + 150);  // too short to know anything by itself
  for (const std::string& name : CommonDrafter::names()) {
    CommonDrafter drafter(name, 1, kMaxDepth, kNever);
    Draft draft = draft_of(text, 4);
    extend(drafter, draft);
    drafter.end(0, 0);
    Draft next = draft_of(other, 4);
    extend(drafter, next);
    CHECK_EQUAL(next.tokens.empty(), name != "ngram-mod");
  }
}

}  // namespace adaptive_spec
