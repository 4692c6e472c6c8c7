// Tests of the drafters by themselves: what each proposes after a given text. What the engine makes of it is in
// engine_test.cc.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <set>

#include "draft/hybrid_drafter.h"
#include "draft/model_drafter.h"
#include "draft/ngram_drafter.h"
#include "test/harness.h"
#include "test/place_guide.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

using Tokens = std::vector<int32_t>;
const Tokens kNever;

std::string path(const std::string& name) {
  const char* folder = std::getenv("ADAPTIVE_SPEC_TINY_MODELS");
  if (!folder) throw std::runtime_error("set ADAPTIVE_SPEC_TINY_MODELS to where test/tiny-models.ts wrote them");
  return std::string(folder) + "/" + name + ".gguf";
}

// A tiny draft model with the drafters that an engine would have.
class Drafters {
 public:
  Drafters(int parallel, int batch_size, int context_size = 512, int branches = 0) {
    start_backend();
    target_ = load_model({.path = path("target")});
    pool_ = make_thread_pool(1);
    ModelHandle draft = load_model({.path = path("draft")});
    VocabularyMap map(target_.get(), draft.get(), path("draft"));
    const ContextOptions options{.context_size = context_size,
                                 .parallel = parallel,
                                 .branches = branches,
                                 .max_rows = parallel * (branches > 0 ? 1 + ModelDrafter::kBeside : 1),
                                 .batch_size = batch_size,
                                 .flash_attention = 0};
    model = std::make_unique<ModelDrafter>(std::move(draft), std::move(map), options, pool_.get(), &abort);
    ngram = std::make_unique<NgramDrafter>(parallel, kNever);
    hybrid = std::make_unique<HybridDrafter>(*model, *ngram);
  }

 private:
  ModelHandle target_;
  ThreadPoolHandle pool_;

 public:
  std::atomic<bool> abort = false;
  std::unique_ptr<ModelDrafter> model;
  std::unique_ptr<NgramDrafter> ngram;
  std::unique_ptr<HybridDrafter> hybrid;
};

Draft draft_of(const Tokens& accepted, int depth, int seq = 0, const StopRule* stop = nullptr) {
  Draft draft;
  draft.seq = seq;
  draft.accepted = accepted;
  draft.depth = depth;
  draft.stop = stop;
  return draft;
}

void extend(Drafter& drafter, Draft& draft) {
  Draft* drafts[] = {&draft};
  drafter.extend(drafts);
}

// A passage of `period` tokens, over and over.
Tokens loop(int period, int length, int first = 40) {
  Tokens text;
  for (int i = 0; i < length; ++i) text.push_back(first + i % period);
  return text;
}

// Tokens of which none comes twice.
Tokens without_repetition(int length) {
  Tokens text;
  for (int i = 0; i < length; ++i) text.push_back(10 + i);
  return text;
}

}  // namespace

TEST("ngram drafter: goes on with a passage that comes again, without a model") {
  NgramDrafter drafter(1, kNever);
  const Tokens text = loop(7, 30);
  Draft draft = draft_of(text, 9);
  extend(drafter, draft);
  const Tokens whole = loop(7, 39);
  CHECK_EQUAL(draft.tokens, Tokens(whole.begin() + 30, whole.end()));
  for (const Signals& signals : draft.signals) {
    CHECK(signals.origin == Origin::kNgram);
    CHECK(signals.probability > 0.5f);
    CHECK_EQUAL(signals.match, signals.probability);
    CHECK(std::abs(signals.margin - (2 * signals.probability - 1)) < 1e-6f);  // right, less wrong
    CHECK(signals.entropy > 0 && signals.entropy < std::log(2.0f));
  }
}

TEST("ngram drafter: proposes nothing after a text without repetition, and forgets a sequence that ended") {
  NgramDrafter drafter(2, kNever);
  const Tokens text = without_repetition(50), other = loop(5, 20);
  Draft draft = draft_of(text, 9, 0), beside = draft_of(other, 3, 1);
  Draft* drafts[] = {&draft, &beside};
  drafter.extend(drafts);
  CHECK(draft.tokens.empty());
  CHECK(draft.stopped);
  CHECK_EQUAL(beside.tokens.size(), size_t{3});
  drafter.end(1, 0);
  Draft next = draft_of(text, 9, 1);
  extend(drafter, next);
  CHECK(next.tokens.empty());
}

TEST("ngram drafter: never proposes an end of generation that the draft masks") {
  const Tokens never = {43};
  NgramDrafter drafter(1, never);
  const Tokens text = loop(7, 30);
  for (const bool masked : {false, true}) {
    Draft draft = draft_of(text, 9);
    draft.mask_eog = masked;
    extend(drafter, draft);
    CHECK_EQUAL(draft.tokens.size(), masked ? size_t{1} : size_t{9});  // 42, then 43 would come
  }
}

TEST("ngram drafter: a guess is what another n-gram says, and n-grams go on from it to the draft's depth") {
  // After 9 8 7 came 1 2 3 4, and later, after 8 7 alone, 5 6 4 3.
  const Tokens text = {9, 8, 7, 1, 2, 3, 4, 30, 8, 7, 5, 6, 4, 3, 31, 9, 8, 7};
  NgramDrafter drafter(1, kNever);
  for (const int depth : {1, 3}) {
    Draft draft = draft_of(text, depth);
    draft.wants_guesses = true;
    extend(drafter, draft);
    CHECK(std::equal(draft.tokens.begin(), draft.tokens.end(), text.begin() + 3));
    REQUIRE(draft.tokens.size() == static_cast<size_t>(depth));
    const size_t beside = draft.guesses.size();
    REQUIRE(beside >= 1);
    CHECK(draft.guesses[0].place == 0 && draft.guesses[0].token == 5 && draft.guesses[0].below == -1);
    TokenTree::weigh(draft.guesses, draft.signals, {});
    drafter.follow_guesses(draft, 2);
    CHECK_EQUAL(draft.guesses.size(), beside + (depth == 1 ? 0 : 2));
    if (depth == 1) continue;
    const Guess& six = draft.guesses[beside];
    CHECK(six.place == 1 && six.token == 6 && six.below == 0);
    CHECK(std::abs(six.probability - draft.guesses[0].probability * six.share) < 1e-6);
    Tokens path;
    draft.path_to(static_cast<int>(beside), path);
    CHECK_EQUAL(path, (Tokens{5, 6}));
    // The likeliest goes on first, and nothing twice.
    for (size_t i = beside; i < draft.guesses.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        CHECK(draft.guesses[j].below != draft.guesses[i].below || draft.guesses[j].token != draft.guesses[i].token);
  }
  Draft chain = draft_of(text, 3);
  extend(drafter, chain);
  CHECK(chain.guesses.empty());
}

TEST("drafts: the path to a guess is the chain's up to where it leaves it, then its own") {
  Draft draft;
  draft.tokens = {1, 2, 3};
  draft.signals.resize(3);
  draft.wants_guesses = true;
  draft.guess(1, 9, 0.5f);
  draft.guess(1, 9, 0.7f);  // known
  draft.guess(1, 2, 0.7f);  // the draft's own
  CHECK_EQUAL(draft.guesses.size(), size_t{1});
  CHECK_EQUAL(draft.follow(0, 8, 0.5f), 1);
  CHECK_EQUAL(draft.follow(0, 8, 0.5f), -1);
  CHECK_EQUAL(draft.follow(0, 7, 0.5f), 2);
  CHECK_EQUAL(draft.follow(2, 8, 0.5f), 3);
  Tokens path;
  draft.path_to(3, path);
  CHECK_EQUAL(path, (Tokens{1, 9, 7, 8}));
  draft.path_to(0, path);
  CHECK_EQUAL(path, (Tokens{1, 9}));
}

TEST("ngram drafter: drafts from other requests' text only where the draft shares it, and where that says more") {
  NgramStore store(4096);
  Tokens other = without_repetition(40);
  store.enter(other);
  NgramDrafter drafter(2, kNever, &store);
  const Tokens known(other.begin(), other.begin() + 20);
  for (const bool shares : {true, false}) {
    Draft draft = draft_of(known, 30, shares);
    draft.shares = shares;
    extend(drafter, draft);
    CHECK_EQUAL(draft.tokens, shares ? Tokens(other.begin() + 20, other.end()) : Tokens());
    for (const Signals& signals : draft.signals) CHECK(signals.origin == Origin::kNgram);
  }
  drafter.end(0, 0);
  drafter.end(1, 0);

  // Eight tokens of the other text were followed by 1, the same eight in this one by 2; then there is one more to match.
  Tokens passage = {70, 71, 72, 73, 74, 75, 76, 77};
  other = {90};
  other.insert(other.end(), passage.begin(), passage.end());
  other.push_back(1);
  store.enter(other);
  for (const int32_t before : {91, 90}) {
    Tokens text = passage;
    text.insert(text.end(), {2, 50, 51, before});
    text.insert(text.end(), passage.begin(), passage.end());
    Draft draft = draft_of(text, 1);
    draft.shares = true;
    const auto match = drafter.look(draft);
    REQUIRE(match.has_value());
    // A text's own match is the surer of two that are about as long.
    CHECK_EQUAL(match->token, 2);
    drafter.end(0, 0);
  }
  // One that is much longer is not outdone.
  Tokens text = {2, 60, 61, 77, 2};
  text.insert(text.end(), other.begin(), other.end() - 1);
  Draft draft = draft_of(text, 1);
  draft.shares = true;
  CHECK_EQUAL(drafter.look(draft)->token, 1);
  CHECK_EQUAL(drafter.look(draft)->length, 9);
}

TEST("hybrid drafter: doesn't ask the model where the text repeats itself") {
  Drafters drafters(1, 64);
  const Tokens text = loop(9, 60);
  Draft draft = draft_of(text, 12);
  extend(*drafters.hybrid, draft);
  const Tokens whole = loop(9, 72);
  CHECK_EQUAL(draft.tokens, Tokens(whole.begin() + 60, whole.end()));
  CHECK(std::all_of(draft.signals.begin(), draft.signals.end(),
                    [](const Signals& s) { return s.origin == Origin::kNgram; }));
  CHECK_EQUAL(drafters.hybrid->lag(0, 60), 60);  // it has read nothing
}

TEST("hybrid drafter: drafts as the model does where nothing repeats") {
  Drafters drafters(1, 64), others(1, 64);
  const Tokens text = without_repetition(30);
  Draft hybrid = draft_of(text, 1), model = draft_of(text, 1);
  extend(*drafters.hybrid, hybrid);
  extend(*others.model, model);
  CHECK_EQUAL(hybrid.tokens, model.tokens);
  CHECK(hybrid.signals[0].origin == Origin::kModel);
  CHECK_EQUAL(hybrid.signals[0].match, 0.0f);
  CHECK_EQUAL(hybrid.signals[0].probability, model.signals[0].probability);
}

TEST("hybrid drafter: each token is a sure match, or the model's, or a match that is likelier than the model's") {
  std::set<Origin> origins;
  bool agreed = false, differed = false;
  for (int seed = 0; seed < 40; ++seed) {
    test::Random random(seed);
    Tokens text;
    for (int i = 0; i < 80; ++i) text.push_back(10 + random.below(seed % 4 == 0 ? 4 : 30));
    Drafters drafters(1, 64);
    if (seed % 4 == 1) {
      // The model's own words, which it is likely to repeat.
      Draft own = draft_of(text, 60);
      extend(*drafters.model, own);
      text.insert(text.end(), own.tokens.begin(), own.tokens.end());
    }
    Draft draft = draft_of(text, 10);
    extend(*drafters.hybrid, draft);
    CHECK_EQUAL(draft.tokens.size(), size_t{10});
    NgramDrafter ngram(1, kNever);
    Draft so_far = draft_of(text, 10);
    for (size_t i = 0; i < draft.tokens.size(); ++i) {
      const auto match = ngram.look(so_far);
      const Signals& signals = draft.signals[i];
      origins.insert(signals.origin);
      CHECK_EQUAL(signals.origin == Origin::kNgram, match && match->score >= 0.5f);
      if (signals.origin == Origin::kModel) {
        const bool same = match && match->token == draft.tokens[i];
        CHECK_EQUAL(signals.match, !match ? 0.0f : same ? match->score : -match->score);
        (same ? agreed : differed) = true;
      } else {
        CHECK_EQUAL(draft.tokens[i], match->token);
        CHECK_EQUAL(signals.probability, match->score);
      }
      so_far.tokens.push_back(draft.tokens[i]);
      so_far.signals.push_back(signals);
    }
  }
  CHECK_EQUAL(origins.size(), size_t{3});
  CHECK(agreed && differed);
}

TEST("hybrid drafter: the model reads n-grams' tokens before its own, also more than a batch has room for") {
  // Sure matches up to the end of the passage; what comes after it was never the same, so the model is asked.
  Tokens text;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 7; ++i) text.push_back(20 + i);
    text.push_back(100 + round);
  }
  text.insert(text.end(), {20, 21});
  const int length = static_cast<int>(text.size());
  for (const int batch_size : {3, 5, 64}) {
    Drafters drafters(3, batch_size);
    // One after another: what each of them drafts is what it drafts beside the others.
    std::vector<Draft> alone, together;
    for (int seq = 0; seq < 3; ++seq) {
      Drafters single(1, 64);
      alone.push_back(draft_of(text, 8 + 2 * seq));
      extend(*single.hybrid, alone.back());
      together.push_back(draft_of(text, 8 + 2 * seq, seq));
      // It has read all of the text but what is read with the draft.
      Draft before = draft_of(text, 1, seq);
      extend(*drafters.model, before);
      drafters.model->roll_back(seq, length - 1, 0);
      CHECK_EQUAL(drafters.hybrid->lag(seq, length), 1);
    }
    std::vector<Draft*> drafts;
    for (Draft& draft : together) drafts.push_back(&draft);
    drafters.hybrid->extend(drafts);
    for (int seq = 0; seq < 3; ++seq) {
      CHECK_EQUAL(together[seq].tokens.size(), size_t(8 + 2 * seq));
      CHECK_EQUAL(together[seq].tokens, alone[seq].tokens);
      for (int i = 0; i < 6; ++i) CHECK_EQUAL(together[seq].signals[i].origin == Origin::kNgram, i < 5);
      CHECK_EQUAL(together[seq].catch_up_ms > 0, batch_size < 3 * 6);
    }
  }
}

TEST("hybrid drafter: the model reads an accepted run of n-grams with its next token, and tells what that took") {
  test::Random random(6);
  const Tokens text = without_repetition(40);
  for (const int run : {2, 5, 16, 17, 60}) {
    Drafters drafters(1, 128), others(1, 128);
    // So that it is known what a pass takes.
    Draft before = draft_of(text, 12);
    extend(*drafters.model, before);
    drafters.model->roll_back(0, 40, 0);
    CHECK_EQUAL(drafters.model->lag(0, 40), 0);
    Tokens longer = text;
    for (int i = 0; i < run; ++i) longer.push_back(200 + random.below(60));
    CHECK_EQUAL(drafters.model->lag(0, 40 + run), run);
    Draft draft = draft_of(longer, 1), expected = draft_of(longer, 1);
    extend(*drafters.model, draft);
    extend(*others.model, expected);
    CHECK_EQUAL(draft.tokens, expected.tokens);
    CHECK_EQUAL(drafters.model->lag(0, 40 + run), 0);
    if (run == 2) CHECK_EQUAL(draft.catch_up_ms, 0.0);
    if (run == 60) CHECK(draft.catch_up_ms > 0);
    CHECK(draft.draft_ms > 0);
  }
}

TEST("hybrid drafter: after a roll-back, and beside the other drafters, drafts what a new one would") {
  test::Random random(5);
  Drafters drafters(1, 16);
  Tokens text = {20, 21, 22, 23};
  int from_model = 0;
  for (int step = 0; step < 60; ++step) {
    Drafter* const all[] = {drafters.model.get(), drafters.ngram.get(), drafters.hybrid.get()};
    const int which = random.below(3);
    Draft draft = draft_of(text, 1 + random.below(8));
    extend(*all[which], draft);
    if (step % 6 == 0) {
      Drafters fresh(1, 16);
      Drafter* const anew[] = {fresh.model.get(), fresh.ngram.get(), fresh.hybrid.get()};
      Draft expected = draft_of(text, draft.depth);
      extend(*anew[which], expected);
      CHECK_EQUAL(draft.tokens, expected.tokens);
    }
    for (const Signals& signals : draft.signals) from_model += signals.origin == Origin::kModel;
    // Some of the draft is right, then the target says something of its own.
    const int kept = random.below(static_cast<int>(draft.tokens.size()) + 1);
    const int length = static_cast<int>(text.size());
    text.insert(text.end(), draft.tokens.begin(), draft.tokens.begin() + kept);
    text.push_back(20 + random.below(30));
    for (Drafter* drafter : all) drafter->roll_back(0, length, kept);
  }
  CHECK(from_model > 20);
}

TEST("hybrid drafter: an abort leaves a shorter draft, and a cache that is right") {
  Drafters drafters(1, 64);
  const Tokens text = without_repetition(30);
  drafters.abort = true;
  Draft draft = draft_of(text, 6);
  extend(*drafters.hybrid, draft);
  CHECK(draft.tokens.empty());
  drafters.abort = false;
  drafters.hybrid->roll_back(0, 30, 0);
  drafters.model->roll_back(0, 30, 0);
  Draft again = draft_of(text, 6), expected = draft_of(text, 6);
  extend(*drafters.hybrid, again);
  Drafters fresh(1, 64);
  extend(*fresh.hybrid, expected);
  CHECK_EQUAL(again.tokens, expected.tokens);
  CHECK_EQUAL(again.tokens.size(), size_t{6});
}

TEST("hybrid drafter: at the end of the context the model's part ends") {
  Drafters drafters(1, 16, 32);
  const Tokens text = without_repetition(30);
  Draft draft = draft_of(text, 8);
  extend(*drafters.hybrid, draft);
  CHECK_EQUAL(draft.tokens.size(), size_t{3});  // read at 30, 31 and 32 tokens; the context has no place for more
}

TEST("hybrid drafter: a stop rule by value takes what is free, and doesn't ask the model for what isn't worth it") {
  StopRule rule;
  rule.tokens_per_ms = 0.1;
  rule.draft_ms = 100;  // ten tokens: never worth it
  rule.ahead = 1;
  rule.curve = 1;
  rule.verify_ms[0] = 10;
  Drafters drafters(1, 64);
  const Tokens repeated = loop(9, 60), new_text = without_repetition(60);
  Draft free = draft_of(repeated, 8, 0, &rule);
  extend(*drafters.hybrid, free);
  CHECK_EQUAL(free.tokens.size(), size_t{8});
  drafters.ngram->end(0, 0);
  Draft dear = draft_of(new_text, 8, 0, &rule);
  extend(*drafters.hybrid, dear);
  CHECK(dear.tokens.empty());
  CHECK_EQUAL(drafters.hybrid->lag(0, 60), 60);
}

TEST("model drafter: guesses are what a grammar allows at their place, though the draft has gone past it") {
  const Tokens text = without_repetition(30);
  std::set<int> parities;
  for (const bool guided : {false, true}) {
    Drafters drafters(1, 64);
    test::PlaceGuide guide;
    // Odd tokens at even places, even ones at odd places.
    guide.permits = [](int place, int32_t token) { return (place + token) % 2 == 1; };
    Draft draft = draft_of(text, 6);
    draft.wants_guesses = true;
    if (guided) draft.guide = &guide;
    extend(*drafters.model, draft);
    REQUIRE(draft.tokens.size() == 6);
    CHECK_EQUAL(draft.guesses.size(), size_t{12});
    for (const Guess& guess : draft.guesses) {
      CHECK(guess.share > 0 && guess.token != draft.tokens[guess.place]);
      if (guided) CHECK_EQUAL((guess.place + guess.token) % 2, 1);
      else parities.insert((guess.place + guess.token) % 2);
    }
  }
  CHECK_EQUAL(parities.size(), size_t{2});
}

TEST("ngram drafter: what follows a guess is what a grammar allows there, and no masked end of generation") {
  const Tokens text = {9, 8, 7, 1, 2, 3, 4, 30, 8, 7, 5, 6, 4, 3, 31, 9, 8, 7};
  const Tokens never = {4};
  for (const bool masked : {false, true})
    for (const int forbidden : {-1, 6, 4}) {
      NgramDrafter drafter(1, never);
      test::PlaceGuide guide;
      guide.permits = [&](int, int32_t token) { return token != forbidden; };
      Draft draft = draft_of(text, 3);
      draft.wants_guesses = true;
      draft.guide = &guide;
      draft.mask_eog = masked;
      extend(drafter, draft);
      TokenTree::weigh(draft.guesses, draft.signals, {});
      drafter.follow_guesses(draft, 60);
      std::set<int32_t> below;
      for (const Guess& guess : draft.guesses)
        if (guess.below >= 0 && draft.guesses[0].token == 5) below.insert(guess.token);
      CHECK_EQUAL(below.contains(6), forbidden != 6);
      CHECK_EQUAL(below.contains(4), forbidden == -1 && !masked);
    }
}

TEST("hybrid drafter: the match that it didn't draft goes on as its text did") {
  Tokens text = without_repetition(20);
  text.push_back(10);  // 11 followed it once, then 12, 13: not sure
  Drafters drafters(1, 64);
  Draft draft = draft_of(text, 4);
  draft.wants_guesses = true;
  extend(*drafters.hybrid, draft);
  const auto match = std::find_if(draft.guesses.begin(), draft.guesses.end(),
                                  [](const Guess& guess) { return guess.place == 0 && guess.token == 11; });
  REQUIRE(draft.tokens.size() == 4 && draft.tokens[0] != 11 && match != draft.guesses.end());
  const int eleven = static_cast<int>(match - draft.guesses.begin());
  TokenTree::weigh(draft.guesses, draft.signals, {});
  drafters.hybrid->follow_guesses(draft, 200);
  int expected = 12, below = eleven;
  for (int i = eleven; i < static_cast<int>(draft.guesses.size()); ++i) {
    if (draft.guesses[i].below != below) continue;
    CHECK_EQUAL(draft.guesses[i].token, expected++);
    below = i;
  }
  CHECK_EQUAL(expected, 15);  // to the draft's depth
}

TEST("model drafter: what it says after a guess is what it would say after a text with that guess, in all of its branches") {
  constexpr int kBranches = 4;
  test::Random random(8);
  int forked = 0, continued = 0, deep = 0;
  Drafters drafters(2, 64, 512, kBranches), fresh(1, 64);
  Tokens texts[] = {without_repetition(20), loop(6, 25)};
  for (int step = 0; step < 25; ++step) {
    Draft both[] = {draft_of(texts[0], 7, 0), draft_of(texts[1], 4 + step % 4, 1)};
    for (Draft& draft : both) {
      draft.wants_guesses = true;
      draft.asks_beside = 9;
    }
    Draft* drafts[] = {&both[0], &both[1]};
    drafters.model->extend(drafts);
    for (const Draft& draft : both) {
      Tokens& text = texts[draft.seq];
      const auto said_after = [&](const Tokens& path) {
        Tokens longer = text;
        longer.insert(longer.end(), path.begin(), path.end());
        Draft after = draft_of(longer, 1);
        after.wants_guesses = true;
        extend(*fresh.model, after);
        fresh.model->end(0, 0);
        return Tokens{after.tokens.at(0), after.guesses.at(0).token};
      };
      REQUIRE(static_cast<int>(draft.tokens.size()) == draft.depth);
      for (size_t i = 0; i < draft.tokens.size(); ++i)
        CHECK_EQUAL(draft.tokens[i], said_after({draft.tokens.begin(), draft.tokens.begin() + i})[0]);
      std::set<int> branches;
      int asked = 0;
      for (int i = 0; i < static_cast<int>(draft.guesses.size()); ++i) {
        const Guess& guess = draft.guesses[i];
        if (guess.branch == 0) continue;
        ++asked;
        CHECK(guess.branch <= kBranches && guess.place + 1 < draft.depth);
        (branches.insert(guess.branch).second ? forked : continued) += 1;
        deep += guess.below >= 0;
        Tokens path, children;
        draft.path_to(i, path);
        for (const Guess& child : draft.guesses)
          if (child.below == i) children.push_back(child.token);
        CHECK_EQUAL(children, said_after(path));
      }
      CHECK(asked <= 9);
    }
    for (const Draft& draft : both) {
      Tokens& text = texts[draft.seq];
      const int length = static_cast<int>(text.size()), kept = random.below(draft.depth + 1);
      text.insert(text.end(), draft.tokens.begin(), draft.tokens.begin() + kept);
      text.push_back(20 + random.below(30));
      drafters.model->roll_back(draft.seq, length, kept);
    }
  }
  CHECK(forked > 100 && continued > 30 && deep > 60);
}

TEST("model drafter: it isn't asked after guesses without branches, beyond what was asked for, or where it isn't worth it") {
  const Tokens text = without_repetition(30);
  // The draft's own tokens are taken to be right, and so the guesses to be wrong.
  StopRule dear;
  dear.acceptance = {.bias = 8, .logit = 0, .is_drafters_own = false};
  dear.tokens_per_ms = 0.1;
  dear.draft_ms = 4;
  dear.ahead = 1;
  dear.curve = 1;
  dear.verify_ms[0] = 10;
  const auto asked = [&](int branches, int asks_beside, const StopRule* stop, int context_size = 512) {
    Drafters drafters(1, 64, context_size, branches);
    Draft draft = draft_of(text, 5, 0, stop);
    draft.wants_guesses = true;
    draft.asks_beside = asks_beside;
    extend(*drafters.model, draft);
    CHECK_EQUAL(draft.tokens.size(), size_t{5});
    return std::count_if(draft.guesses.begin(), draft.guesses.end(), [](const Guess& one) { return one.branch > 0; });
  };
  CHECK_EQUAL(asked(0, 9, nullptr), 0);
  CHECK_EQUAL(asked(4, 0, nullptr), 0);
  CHECK_EQUAL(asked(4, 2, nullptr), 2);
  CHECK(asked(4, 9, nullptr) > 4);
  CHECK_EQUAL(asked(4, 9, nullptr, 36), 1);  // cells for the draft's five and one more
  CHECK_EQUAL(asked(4, 9, &dear), 0);
  dear.draft_ms = 0;
  CHECK(asked(4, 9, &dear) > 4);
}

TEST("model drafter: what it says after a guess is what a grammar allows there, and its draft goes on within it") {
  const Tokens text = without_repetition(30);
  Drafters drafters(1, 64, 512, 4);
  test::PlaceGuide guide;
  guide.permits = [](int place, int32_t token) { return (place + token) % 2 == 1; };
  Draft draft = draft_of(text, 6);
  draft.wants_guesses = true;
  draft.asks_beside = 9;
  draft.guide = &guide;
  extend(*drafters.model, draft);
  REQUIRE(draft.tokens.size() == 6);
  for (int i = 0; i < 6; ++i) CHECK_EQUAL((i + draft.tokens[i]) % 2, 1);
  int below = 0;
  for (const Guess& guess : draft.guesses) {
    CHECK_EQUAL((guess.place + guess.token) % 2, 1);
    below += guess.below >= 0;
  }
  CHECK(below > 2);
}

TEST("model drafter: an abort among guesses leaves a shorter draft, and a cache that is right") {
  const Tokens text = without_repetition(30);
  Drafters drafters(1, 64, 512, 4), fresh(1, 64, 512, 4);
  test::PlaceGuide guide;
  guide.permits = [&](int place, int32_t) { return drafters.abort = place == 3, true; };
  Draft draft = draft_of(text, 6), expected = draft_of(text, 6);
  for (Draft* one : {&draft, &expected}) one->wants_guesses = true, one->asks_beside = 9;
  draft.guide = &guide;
  extend(*drafters.model, draft);
  CHECK(!draft.tokens.empty() && draft.tokens.size() < 6);
  drafters.abort = false;
  drafters.model->roll_back(0, 29, 0);  // a last token is always read with the draft
  draft.guide = nullptr;
  draft.clear();
  extend(*drafters.model, draft);
  extend(*fresh.model, expected);
  CHECK_EQUAL(draft.tokens, expected.tokens);
  REQUIRE(draft.guesses.size() == expected.guesses.size());
  for (size_t i = 0; i < draft.guesses.size(); ++i) {
    CHECK_EQUAL(draft.guesses[i].token, expected.guesses[i].token);
    CHECK_EQUAL(draft.guesses[i].branch, expected.guesses[i].branch);
  }
}

TEST("hybrid drafter: where a grammar forbids the model's tokens the match is drafted, and none of them stays a guess") {
  Tokens text = without_repetition(20);
  text.push_back(10);  // 11 followed it once: not sure
  Drafters drafters(1, 64);
  test::PlaceGuide guide;
  guide.permits = [](int place, int32_t token) { return place > 0 || token == 11; };
  Draft draft = draft_of(text, 1);
  draft.wants_guesses = true;
  draft.guide = &guide;
  extend(*drafters.hybrid, draft);
  CHECK_EQUAL(draft.tokens, Tokens{11});
  CHECK(draft.signals[0].origin == Origin::kNgramOverModel);
  CHECK(draft.guesses.empty());
}

TEST("drafters: a stop rule that keeps has the refused token as the draft's last") {
  NgramDrafter drafter(1, kNever);
  Tokens text = without_repetition(20);
  text.insert(text.end(), {10, 11, 12});  // one match after three tokens: not sure
  StopRule rule;
  rule.min_probability = 0.999;
  for (const bool keep : {false, true}) {
    rule.keep = keep;
    Draft draft = draft_of(text, 5, 0, &rule);
    extend(drafter, draft);
    CHECK_EQUAL(draft.tokens, keep ? Tokens{13} : Tokens{});
    CHECK(draft.stopped);
  }
}

}  // namespace adaptive_spec
