// Tests that rejection sampling gives the target's distribution: on a model that can be enumerated, 100,000 texts for
// each setting, a G-test for every beginning of a text. Mistakes are made on purpose, and must be found. Needs the tiny
// models in the folder that ADAPTIVE_SPEC_TINY_MODELS names.
#include "verify/rejection.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "draft/siblings.h"
#include "engine/context.h"
#include "test/enumerable.h"
#include "verify/accept.h"
#include "verify/sampler.h"

namespace adaptive_spec {
namespace {

using test::check_at_all_temperatures, test::check_caught, test::Emit, test::g_tests, test::Model, test::Random;
using test::kDepth, test::kIds, test::kLength, test::kLevel, test::kTexts, test::target_row, test::Text, test::Texts;
using Tokens = std::vector<int32_t>;

std::string tiny_model(const std::string& name) {
  const char* folder = std::getenv("ADAPTIVE_SPEC_TINY_MODELS");
  if (!folder) throw std::runtime_error("set ADAPTIVE_SPEC_TINY_MODELS to where test/tiny-models.ts wrote them");
  return std::string(folder) + "/" + name + ".gguf";
}

// --- Speculation as the engine does it, with everything that could be wrong in the hands of the test.

struct Drafted {
  Tokens tokens;
  std::vector<const Distribution*> from;  // null: certain
};

// With a distribution that is kept.
int32_t judge(Distribution p, std::span<const Proposal> proposals, uint32_t seed, uint64_t position) {
  return accept_or_replace(p, proposals, seed, position);
}

struct Setting {
  // The depth, by the draft of the step before and how much of it was accepted.
  std::function<int(const Drafted&, int accepted)> plan = [](const Drafted&, int) { return kDepth; };
  // Whether the draft ends before a token from this row.
  std::function<bool(const Distribution&)> stops = [](const Distribution&) { return false; };
  // Whether the token after this text is certain, as an n-gram's is.
  std::function<bool(const Text&)> is_certain = [](const Text&) { return false; };
  // The number to draw a draft token with.
  std::function<double(uint32_t seed, uint64_t start, uint64_t place)> number =
      [](uint32_t seed, uint64_t start, uint64_t place) { return uniform_at(seed, Use::kDraft, start, place); };
  // How much of a draft is verified.
  std::function<size_t(const Drafted&)> verified = [](const Drafted& draft) { return draft.tokens.size(); };
  std::function<int32_t(const Distribution&, std::span<const Proposal>, uint32_t seed, uint64_t position)> accept =
      judge;
};

void speculate(Model& model, const Setting& setting, uint32_t seed, const Emit& emit) {
  Text text;
  Drafted draft;
  int kept = 0;
  while (text.length < kLength) {
    const uint64_t start = text.length;
    const size_t depth = std::min<int>(setting.plan(draft, kept), kLength - 1 - text.length);
    draft.tokens.clear();
    draft.from.clear();
    Text with_draft = text;
    while (draft.tokens.size() < depth) {
      const Distribution& q = model.draft(with_draft);
      if (setting.stops(q)) break;
      const bool certain = setting.is_certain(with_draft);
      const int32_t token = certain ? static_cast<int32_t>(with_draft.code / 3 % kIds)
                                    : draw(q, setting.number(seed, start, draft.tokens.size()));
      draft.tokens.push_back(token);
      draft.from.push_back(certain ? nullptr : &q);
      with_draft.add(token);
    }
    const size_t verified = setting.verified(draft);
    kept = accept_chain(
        std::span<const int32_t>(draft.tokens).first(verified),
        [&](size_t row) {
          if (row == verified) return setting.accept(model.target(text), {}, seed, text.length);
          const Proposal drawn = {draft.tokens[row], draft.from[row]};
          return setting.accept(model.target(text), {&drawn, 1}, seed, text.length);
        },
        [&](int32_t token) {
          emit(text, token);
          text.add(token);
          return text.length < kLength;
        });
  }
}

// Several proposals for each place, tried in order, as along the accepted path of a tree. `made` holds distributions
// that are needed for this place only.
using Siblings =
    std::function<std::vector<Proposal>(Model&, const Text& text, uint32_t seed, std::array<Distribution, 3>& made)>;

void walk_tree(Model& model, const Siblings& siblings, uint32_t seed, const Emit& emit) {
  Text text;
  std::array<Distribution, 3> made;
  while (text.length < kLength) {
    const int32_t token = judge(model.target(text), siblings(model, text, seed, made), seed, text.length);
    emit(text, token);
    text.add(token);
  }
}

// A step's tree as the engine has it: the functions that it calls, in its order. What could be wrong is the test's to say.
struct TreeSetting {
  StopRule stop;
  int nodes = 7, branches = 4;
  std::function<void(Draft&, int most, int rows)> siblings = [](Draft& draft, int most, int rows) {
    draw_siblings(draft, static_cast<int>(draft.tokens.size()), most, rows);
  };
};

struct TreeCounts {
  int beside = 0, right = 0;
};

float likeliest(const Distribution& q) {
  float best = 0;
  for (const Probability& one : q) best = std::max(best, one.value);
  return best;
}

void speculate_in_trees(Model& model, const TreeSetting& setting, uint32_t seed, const Emit& emit, TreeCounts& counts) {
  SamplingParams params = model.params();
  params.seed = seed;
  Sampler sampler(params, {}, {}, kIds);
  Text text;
  Tokens accepted, before;
  Draft draft;
  TokenTree tree;
  std::vector<Text> texts;
  std::vector<Proposal> proposals;
  while (text.length < kLength) {
    before = draft.tokens;
    draft.clear();
    draft.accepted = accepted;
    draft.depth = std::min<int>(test::spiteful(before), kLength - 1 - text.length);
    draft.sampling = &params;
    draft.stop = &setting.stop;
    for (Text with_draft = text; draft.wants_any(); with_draft.add(draft.tokens.back())) {
      const Distribution& q = model.draft(with_draft);
      const size_t place = draft.tokens.size();
      draft.offer(0, {.probability = likeliest(q)});
      if (draft.tokens.size() == place) break;
      draft.tokens.back() = draw(q, draft_number(seed, text.length, place));
      draft.drawn_from.back() = q;
    }
    const int drafted = static_cast<int>(draft.tokens.size());
    setting.siblings(draft, std::min(setting.branches, setting.nodes - draft.depth), 1 + draft.depth);
    TokenTree::weigh(draft.guesses, draft.signals, setting.stop.acceptance);
    tree.grow(draft.tokens, draft.signals, draft.drawn_from, draft.guesses,
              {.chain = drafted, .nodes = setting.nodes, .branches = setting.branches, .whole = true},
              setting.stop, 0);
    texts.assign(1, text);  // by row: after the root, then after each node
    for (const TokenTree::Node& node : tree.nodes()) texts.push_back(texts[node.parent + 1].with(node.token));
    const AcceptedPath path = accept_tree(
        tree,
        [&](size_t row) {
          // Of the row, not of the text: a wrong row would be found.
          std::array<float, kIds> logits = model.row(texts[row]);
          if (!read_proposals(tree, static_cast<int>(row) - 1, proposals)) return sampler.sample(logits.data());
          return sampler.sample(logits.data(), proposals, text.length);
        },
        [&](int32_t token) {
          emit(text, token);
          text.add(token);
          accepted.push_back(token);
          return text.length < kLength;
        });
    counts.beside += tree.beside();
    counts.right += path.beside;
  }
}

// --- The tests.

Texts drawn_trees(const TreeSetting& setting, TreeCounts* counts = nullptr) {
  return [=](Model& model, uint32_t seed, const Emit& emit) {
    TreeCounts own;
    speculate_in_trees(model, setting, seed, emit, counts ? *counts : own);
  };
}
Texts chains(const Setting& setting) {
  return [setting](Model& model, uint32_t seed, const Emit& emit) { speculate(model, setting, seed, emit); };
}
Texts trees(const Siblings& siblings) {
  return [siblings](Model& model, uint32_t seed, const Emit& emit) { walk_tree(model, siblings, seed, emit); };
}

int spiteful(const Drafted& before, int) { return test::spiteful(before.tokens); }

// Drawn one after the other, none twice.
std::vector<Proposal> without_replacement(Model& model, const Text& text, uint32_t seed,
                                          std::array<Distribution, 3>& made) {
  std::vector<Proposal> siblings;
  Distribution q = model.draft(text);
  for (size_t i = 0; i < made.size(); ++i) {
    made[i] = q;
    const int32_t token = draw(q, uniform_at(seed, Use::kDraft, text.length, i));
    siblings.push_back({token, &made[i]});
    std::erase_if(q, [&](const Probability& one) { return one.id == token; });
    if (!normalise(q)) break;
  }
  return siblings;
}

TEST("rejection: chains of drawn tokens have the target's distribution at every temperature") {
  check_at_all_temperatures(chains({}));
}

TEST("rejection: so they have where drafts stop by rows and hold certain tokens, and plans go by rejected ones") {
  Setting setting;
  setting.plan = spiteful;
  setting.stops = [](const Distribution& q) { return likeliest(q) < 0.3f; };
  setting.is_certain = [](const Text& text) { return text.code % 3 == 0; };
  check_at_all_temperatures(chains(setting));
}

TEST("rejection: so they have where target and draft are cut by top_k, top_p and min_p") {
  check_at_all_temperatures(chains({}), {.top_k = 6, .top_p = 0.95f, .min_p = 0.02f});
}

TEST("rejection: siblings drawn without replacement have the target's distribution at every temperature") {
  check_at_all_temperatures(trees(without_replacement));
}

TEST("rejection: siblings of several drafters, drawn and certain ones, have the target's distribution") {
  check_at_all_temperatures(trees([](Model& model, const Text& text, uint32_t seed, std::array<Distribution, 3>&) {
    const Distribution& first = model.draft(text, 0);
    const Distribution& second = model.draft(text, 1);
    return std::vector<Proposal>{{draw(first, uniform_at(seed, Use::kDraft, text.length, 0)), &first},
                                 {static_cast<int32_t>(text.code / 3 % kIds), nullptr},
                                 {draw(second, uniform_at(seed, Use::kDraft, text.length, 1)), &second}};
  }));
}

// Rows that cost something, so that how many siblings a place has hangs on the draft's rows.
StopRule priced() {
  StopRule stop;
  stop.tokens_per_ms = 0.1;
  stop.curve = 9;
  for (int i = 0; i < stop.curve; ++i) stop.verify_ms[i] = 10 + i;
  return stop;
}

TEST("rejection: trees of drawn tokens, as steps have them, have the target's distribution at every temperature") {
  TreeCounts counts;
  check_at_all_temperatures(drawn_trees({}, &counts));
  CHECK(counts.right > kTexts && counts.beside > 2 * counts.right);
}

TEST("rejection: so they have where places get siblings, and drafts end, by what the rows are") {
  TreeSetting setting;
  setting.stop = priced();
  setting.stop.min_probability = 0.3;
  TreeCounts counts;
  check_at_all_temperatures(drawn_trees(setting, &counts), {.top_p = 0.95f});
  CHECK(counts.right > kTexts / 4);
}

TEST("rejection: the test finds trees whose siblings are judged as if drawn with replacement") {
  TreeSetting setting;
  setting.siblings = [](Draft& draft, int most, int rows) {
    draw_siblings(draft, static_cast<int>(draft.tokens.size()), most, rows);
    for (Guess& guess : draft.guesses) guess.from = draft.drawn_from[guess.place];
  };
  check_caught(drawn_trees(setting));
}

TEST("rejection: the test finds trees whose siblings hang or not by which tokens were drawn") {
  TreeSetting setting;
  setting.siblings = [](Draft& draft, int most, int rows) {
    draw_siblings(draft, static_cast<int>(draft.tokens.size()), most, rows);
    std::erase_if(draft.guesses, [](const Guess& guess) { return probability_of(guess.from, guess.token) < 0.3f; });
  };
  check_caught(drawn_trees(setting));
}

TEST("rejection: the test finds trees whose siblings are drawn with the number that drew the first token") {
  TreeSetting setting;
  setting.siblings = [](Draft& draft, int most, int rows) {
    draw_siblings(draft, static_cast<int>(draft.tokens.size()), most, rows);
    int place = -1;
    std::erase_if(draft.guesses, [&](const Guess& guess) { return std::exchange(place, guess.place) == guess.place; });
    for (Guess& guess : draft.guesses)
      guess.token = draw(guess.from, draft_number(draft.sampling->seed, draft.accepted.size(), guess.place));
  };
  check_caught(drawn_trees(setting));
}

TEST("siblings: a place gets two at most, the first places first, none that its row hasn't, by seed and length of text") {
  const SamplingParams params{.temperature = 1, .seed = 3, .rejection = true};
  const Tokens text = {1, 2, 3};
  const Distribution wide = {{1, 0.4f}, {2, 0.3f}, {5, 0.2f}, {9, 0.1f}}, two = {{4, 0.5f}, {6, 0.5f}}, one = {{7, 1}};
  Draft draft;
  draft.accepted = text;
  draft.sampling = &params;
  for (const Distribution& q : {wide, two, one, Distribution(), wide}) {
    draft.tokens.push_back(q.empty() ? 8 : q[0].id);
    draft.signals.push_back({.probability = 0.5f});
    draft.drawn_from.push_back(q);
  }
  const auto places = [&](int chain, int most) {
    draft.guesses.clear();
    draw_siblings(draft, chain, most, 1 + chain);
    Tokens found;
    for (const Guess& guess : draft.guesses) found.push_back(guess.place);
    return found;
  };
  CHECK_EQUAL(places(5, 99), (Tokens{0, 0, 1, 4, 4}));
  const std::vector<Guess> all = draft.guesses;
  for (const Guess& guess : all) {
    CHECK(guess.token != draft.tokens[guess.place] && probability_of(guess.from, guess.token) > 0);
    CHECK(std::abs(std::accumulate(guess.from.begin(), guess.from.end(), 0.0,
                                   [](double sum, const Probability& p) { return sum + p.value; }) -
                   1) < 1e-6);
  }
  CHECK(all[0].token != all[1].token && probability_of(all[1].from, all[0].token) == 0);
  CHECK_EQUAL(places(5, 3), (Tokens{0, 0, 1}));
  CHECK_EQUAL(places(1, 99), (Tokens{0, 0}));
  CHECK_EQUAL(places(5, 0), Tokens());
  CHECK_EQUAL(places(5, -2), Tokens());
  // Another length of text, or another seed, draws others.
  std::set<int32_t> different;
  for (size_t length = 0; length < 3; ++length) {
    draft.accepted = std::span(text).first(length);
    places(1, 1);
    different.insert(draft.guesses[0].token);
  }
  SamplingParams other = params;
  draft.sampling = &other;
  for (other.seed = 10; other.seed < 30; ++other.seed) {
    places(1, 1);
    different.insert(draft.guesses[0].token);
  }
  CHECK_EQUAL(different.size(), size_t{3});
}

TEST("rejection: the test finds an acceptance that always accepts") {
  Setting setting;
  setting.accept = [](const Distribution& p, std::span<const Proposal> proposals, uint32_t seed, uint64_t position) {
    return proposals.empty() ? judge(p, {}, seed, position) : proposals[0].token;
  };
  check_caught(chains(setting));
}

TEST("rejection: the test finds a replacement that is drawn without subtracting the draft's distribution") {
  Setting setting;
  setting.accept = [](const Distribution& p, std::span<const Proposal> proposals, uint32_t seed, uint64_t position) {
    if (proposals.empty()) return judge(p, {}, seed, position);
    const auto& [token, from] = proposals[0];
    const double ratio = probability_of(p, token) / probability_of(*from, token);
    if (uniform_at(seed, Use::kAccept, position) < ratio) return token;
    return draw(p, uniform_at(seed, Use::kReplace, position));
  };
  check_caught(chains(setting));
}

TEST("rejection: the test finds drafts that are verified or not by what was drawn") {
  Setting setting;
  setting.verified = [](const Drafted& draft) {
    size_t k = 0;
    while (k < draft.tokens.size() && probability_of(*draft.from[k], draft.tokens[k]) > 0.3f) ++k;
    return k;
  };
  check_caught(chains(setting));
}

TEST("rejection: the test finds drafts that are trimmed by a row behind what was drawn") {
  Setting setting;
  setting.verified = [](const Drafted& draft) {
    return draft.tokens.size() > 1 && likeliest(*draft.from[1]) < 0.5f ? 0 : draft.tokens.size();
  };
  check_caught(chains(setting));
}

TEST("rejection: the test finds random numbers of a draft that served an earlier draft, which the plan goes by") {
  Setting setting;
  setting.plan = [](const Drafted& before, int accepted) {
    return before.tokens.size() > 1 && accepted == 0 && before.tokens[1] >= 5 ? 0 : kDepth;
  };
  check_at_all_temperatures(chains(setting));
  setting.number = [](uint32_t seed, uint64_t start, uint64_t place) {
    return uniform_at(seed, Use::kDraft, start + place);
  };
  check_caught(chains(setting));
}

TEST("rejection: the test finds siblings drawn without replacement that are judged as if with it") {
  check_caught(trees([](Model& model, const Text& text, uint32_t seed, std::array<Distribution, 3>& made) {
    std::vector<Proposal> siblings = without_replacement(model, text, seed, made);
    for (Proposal& sibling : siblings) sibling.from = &made[0];
    return siblings;
  }));
}

// --- One place.

TEST("rejection: as many drawn tokens are accepted as p and q have in common, and more than a comparison accepts") {
  Model model({.temperature = 1});
  const Distribution& p = model.target({});
  const Distribution& q = model.draft({});
  double common = 0, equal = 0;
  for (const Probability& one : p) {
    common += std::min(one.value, probability_of(q, one.id));
    equal += one.value * probability_of(q, one.id);
  }
  int accepted = 0;
  for (int seed = 0; seed < kTexts; ++seed) {
    const Proposal drawn = {draw(q, uniform_at(seed, Use::kDraft, 0)), &q};
    accepted += judge(p, {&drawn, 1}, seed, 0) == drawn.token;
  }
  const double deviation = std::sqrt(common * (1 - common) * kTexts);
  CHECK(std::abs(accepted - common * kTexts) < 4 * deviation);
  CHECK(accepted > equal * kTexts + 4 * deviation);
}

TEST("rejection: a token that the target can't say is never accepted, one from its own distribution always") {
  const Distribution p = {{1, 0.5f}, {4, 0.5f}}, q = {{1, 0.2f}, {3, 0.8f}}, masked = {{0, 1}};
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    const Proposal outside = {3, &q}, only = {0, &masked}, own = {4, &p}, certain = {7, nullptr};
    CHECK(judge(p, {&outside, 1}, seed, 9) != 3);
    CHECK(judge(p, {&only, 1}, seed, 9) != 0);
    CHECK_EQUAL(judge(p, {&own, 1}, seed, 9), 4);
    CHECK(judge(p, {&certain, 1}, seed, 9) != 7);
  }
}

TEST("rejection: numbers are even, and those of other seeds, uses, positions and details tell nothing of each other") {
  constexpr int kBins = 8, kPairs = 64'000;
  std::vector<std::vector<int>> bins;
  const auto add = [&](const auto& number) {
    std::vector<int>& some = bins.emplace_back();
    for (int i = 0; i < kPairs; ++i) {
      const double x = number(i);
      REQUIRE(x >= 0 && x < 1);
      some.push_back(static_cast<int>(x * kBins));
    }
  };
  for (Use use : {Use::kDraft, Use::kAccept, Use::kReplace}) {
    add([use](int i) { return uniform_at(i, use, 5); });
    add([use](int i) { return uniform_at(i + 1, use, 5); });
    add([use](int i) { return uniform_at(i, use, 6); });
    add([use](int i) { return uniform_at(i, use, 5, 1); });
  }
  add([](int i) { return uniform_at(5, Use::kDraft, i); });
  add([](int i) { return uniform_at(5, Use::kDraft, 5, i); });
  Distribution even;
  for (int i = 0; i < kBins * kBins; ++i) even.push_back({i, 1.0f / (kBins * kBins)});
  std::vector<double> probabilities;
  for (size_t a = 0; a < bins.size(); ++a)
    for (size_t b = 0; b < a; ++b) {
      std::vector<int> counts(kBins * kBins);
      for (int i = 0; i < kPairs; ++i) ++counts[bins[a][i] * kBins + bins[b][i]];
      probabilities.push_back(test::g_test(counts, even));
    }
  CHECK(test::least_after_holm(probabilities) > kLevel);
}

TEST("rejection: chi-square's tail is that of the tables") {
  CHECK(std::abs(test::chi_square_tail(3.841459, 1) - 0.05) < 1e-7);
  CHECK(std::abs(test::chi_square_tail(23.209251, 10) - 0.01) < 1e-8);
  CHECK(std::abs(test::chi_square_tail(2.0, 2) - std::exp(-1.0)) < 1e-12);
  CHECK(std::abs(test::chi_square_tail(4.0, 20) / 0.9999535 - 1) < 1e-6);
  CHECK(test::chi_square_tail(400, 9) < 1e-60 && test::chi_square_tail(400, 9) > 0);
}

// --- The sampler's state.

// Logits of a row after penalties, by the prompt and the text's own tokens.
using Penalise = std::function<void(std::vector<float>& row, const Tokens& history)>;

struct Penalised {
  std::vector<double> right, without;  // G-tests against the penalties by hand, and against none
  int accepted = 0;
};

// Short texts from drawn drafts, whose tokens would count too if a sampler's state moved on with them.
Penalised texts_under(SamplingParams params, const Tokens& prompt, const Tokens& masked, const Penalise& penalise,
                      const llama_vocab* vocab = nullptr) {
  constexpr uint32_t kShort = 3;
  const auto expected = [&](const Text& text, const Tokens& tokens, bool penalised) {
    Tokens history = prompt;
    history.insert(history.end(), tokens.begin(), tokens.end());
    std::vector<float> row = target_row(text);
    if (penalised) penalise(row, history);
    Distribution p;
    for (int32_t id = 0; id < kIds; ++id)
      if (std::find(masked.begin(), masked.end(), id) == masked.end())
        p.push_back({id, static_cast<float>(std::exp(static_cast<double>(row[id]) / params.temperature))});
    normalise(p);
    return p;
  };
  Model model({.temperature = params.temperature});
  std::map<Tokens, std::vector<int>> next;
  Penalised found;
  for (params.seed = 0; params.seed < kTexts; ++params.seed) {
    Sampler sampler(params, prompt, masked, kIds, nullptr, vocab);
    Text text;
    Tokens tokens;
    while (text.length < kShort) {
      Tokens draft;
      std::vector<const Distribution*> from;
      const uint64_t start = text.length;
      Text with_draft = text;
      // The last token of a text has no draft: a step emits one more than it drafts.
      while (with_draft.length + 1 < kShort) {
        from.push_back(&model.draft(with_draft));
        draft.push_back(draw(*from.back(), uniform_at(params.seed, Use::kDraft, start, draft.size())));
        with_draft.add(draft.back());
      }
      found.accepted += accept_chain(
          draft,
          [&](size_t row) {
            std::array<float, kIds> logits = model.row(text);
            if (row == draft.size()) return sampler.sample(logits.data());
            const Proposal drawn = {draft[row], from[row]};
            return sampler.sample(logits.data(), {&drawn, 1}, text.length);
          },
          [&](int32_t token) {
            std::vector<int>& counts = next[tokens];
            counts.resize(kIds);
            ++counts[token];
            text.add(token);
            tokens.push_back(token);
            return text.length < kShort;
          });
    }
  }
  for (const auto& [tokens, counts] : next) {
    if (std::accumulate(counts.begin(), counts.end(), 0) < 100) continue;
    Text text;
    for (int32_t token : tokens) text.add(token);
    found.right.push_back(test::g_test(counts, expected(text, tokens, true)));
    found.without.push_back(test::g_test(counts, expected(text, tokens, false)));
  }
  return found;
}

void check_penalised(const Penalised& found) {
  CHECK(found.right.size() > 30);
  CHECK(found.accepted > kTexts / 2);
  CHECK(test::least_after_holm(found.right) > kLevel);
  CHECK(test::least_after_holm(found.without) < test::kCaught);
}

TEST("rejection: penalties count what was accepted and nothing else, and masked ids never come") {
  const SamplingParams params{.temperature = 0.8f,
                              .repeat_penalty = 1.5f,
                              .frequency_penalty = 0.4f,
                              .presence_penalty = 0.3f,
                              .penalty_last_n = 3,
                              .rejection = true};
  check_penalised(texts_under(params, {2, 5, 5}, {3}, [&](std::vector<float>& row, const Tokens& history) {
    for (int32_t id = 0; id < kIds; ++id) {
      const auto count = std::count(history.end() - params.penalty_last_n, history.end(), id);
      if (count == 0) continue;
      row[id] = row[id] <= 0 ? row[id] * params.repeat_penalty : row[id] / params.repeat_penalty;
      row[id] -= static_cast<float>(count) * params.frequency_penalty + params.presence_penalty;
    }
  }));
}

TEST("rejection: DRY looks at what was accepted and nothing else") {
  start_backend();
  // DRY's breakers are looked up in a vocabulary; here there are none.
  const ModelHandle model = load_model({.path = tiny_model("target")});
  const SamplingParams params{.temperature = 0.8f,
                              .dry = {.multiplier = 0.7f, .base = 1.75f, .allowed_length = 1, .last_n = 64},
                              .rejection = true};
  check_penalised(texts_under(
      params, {5, 2, 6, 2, 5, 7, 5, 2}, {},
      [&](std::vector<float>& row, const Tokens& history) {
        for (int32_t id = 0; id < kIds; ++id) {
          // The longest end of the text that stood before this token before.
          int longest = 0;
          for (int at = 1; at < static_cast<int>(history.size()); ++at) {
            if (history[at] != id) continue;
            int n = 0;
            while (n < at && history[at - 1 - n] == history[history.size() - 1 - n]) ++n;
            longest = std::max(longest, n);
          }
          if (longest >= params.dry.allowed_length)
            row[id] -= params.dry.multiplier *
                       std::pow(params.dry.base, static_cast<float>(longest - params.dry.allowed_length));
        }
      },
      llama_model_get_vocab(model.get())));
}

TEST("rejection: bad rows give no token, and leave nothing to draw from") {
  const Distribution q = {{1, 0.5f}, {2, 0.5f}};
  for (const SamplingParams& params :
       {SamplingParams{.temperature = 1}, SamplingParams{.temperature = 1, .top_k = 5},
        SamplingParams{.temperature = 1, .top_p = 0.9f}, SamplingParams{.temperature = 1, .repeat_penalty = 1.2f}})
    for (int n : {50, 3000})
      for (float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        Sampler sampler(params, {}, {}, n);
        std::vector<float> logits = Random(3).row(n, 2);
        logits[n / 2] = bad;
        std::vector<float> copy = logits;
        CHECK(sampler.distribution(copy.data()).empty());
        const Proposal drawn = {1, &q};
        CHECK_EQUAL(sampler.sample(logits.data(), {&drawn, 1}, 4), -1);
      }
}

TEST("sampler: distribution is what draws come from, with ids in order") {
  for (const SamplingParams& params :
       {SamplingParams{.temperature = 0.7f}, SamplingParams{.temperature = 1, .top_k = 8},
        SamplingParams{.temperature = 1.2f, .top_p = 0.8f}, SamplingParams{.temperature = 1, .min_p = 0.1f}})
    for (int n : {40, 1500}) {
      Sampler sampler(params, {}, {}, n);
      const std::vector<float> logits = Random(5).row(n, n > 1000 ? 3.0 : 1.5);
      std::vector<float> row = logits;
      const Distribution p = sampler.distribution(row.data());
      CHECK(std::is_sorted(p.begin(), p.end(), [](const Probability& a, const Probability& b) { return a.id < b.id; }));
      std::vector<int> counts(n);
      for (int i = 0; i < 20'000; ++i) {
        row = logits;
        ++counts[sampler.sample(row.data())];
      }
      CHECK(test::g_test(counts, p) > 0.001);
    }
}

}  // namespace
}  // namespace adaptive_spec
