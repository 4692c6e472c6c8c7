// Tests of stop rules: where drafts end, and what of them is verified.
#include "draft/stop_rule.h"

#include <cmath>
#include <vector>

#include "draft/drafter.h"
#include "test/harness.h"

namespace adaptive_spec {
namespace {

// v(n): flat up to four rows, then a riser of one plain step.
StopRule staircase(double tokens_per_ms, double ahead) {
  StopRule rule;
  rule.tokens_per_ms = tokens_per_ms;
  rule.draft_ms = 0.1;
  rule.ahead = ahead;
  rule.curve = 9;
  for (int i = 0; i < rule.curve; ++i) rule.verify_ms[i] = i < 4 ? 10 : 20;
  return rule;
}

int drafted(const StopRule& rule, const std::vector<Signals>& tokens, int depth) {
  Draft draft;
  draft.depth = depth;
  draft.stop = &rule;
  for (size_t i = 0; i < tokens.size() && draft.wants_more(); ++i) draft.offer(static_cast<int32_t>(i), tokens[i]);
  return static_cast<int>(draft.tokens.size());
}

}  // namespace

TEST("stop rule: without conditions a draft reaches its depth") {
  const std::vector<Signals> tokens(10, {.probability = 0.01f, .margin = 0, .entropy = 9});
  CHECK_EQUAL(drafted({}, tokens, 7), 7);
}

TEST("stop rule: a draft ends before the token that a condition refuses") {
  const std::vector<Signals> tokens = {{0.9f, 0.8f, 0.1f}, {0.8f, 0.7f, 0.4f}, {0.5f, 0.2f, 1.2f}, {0.9f, 0.8f, 0.1f}};
  StopRule rule;
  rule.min_probability = 0.6;
  CHECK_EQUAL(drafted(rule, tokens, 4), 2);
  rule = {};
  rule.max_entropy = 0.3;
  CHECK_EQUAL(drafted(rule, tokens, 4), 1);
  rule = {};
  rule.min_survival = 0.5;  // 0.9, 0.72, 0.36
  CHECK_EQUAL(drafted(rule, tokens, 4), 2);
  rule = {};
  rule.acceptance = {.bias = -1, .logit = 1, .is_drafters_own = false};  // 0.9 becomes 0.768, 0.8 0.595, 0.5 0.269
  rule.min_acceptance = 0.5;
  CHECK_EQUAL(drafted(rule, tokens, 4), 2);
  rule.min_acceptance = 0.6;
  CHECK_EQUAL(drafted(rule, tokens, 4), 1);
}

TEST("stop rule: one that keeps has the token at which it stops as the last, and still ends before what isn't worth it") {
  const std::vector<Signals> tokens = {{0.9f, 0.8f, 0.1f}, {0.8f, 0.7f, 0.4f}, {0.5f, 0.2f, 1.2f}, {0.9f, 0.8f, 0.1f}};
  StopRule rule;
  rule.keep = true;
  rule.min_probability = 0.6;
  CHECK_EQUAL(drafted(rule, tokens, 4), 3);
  CHECK_EQUAL(drafted(rule, tokens, 2), 2);
  rule = {.keep = true};
  rule.max_entropy = 0.05;
  CHECK_EQUAL(drafted(rule, tokens, 4), 1);
  rule = {.keep = true};
  rule.min_survival = 0.5;
  CHECK_EQUAL(drafted(rule, tokens, 4), 3);
  rule = staircase(50, 0.9);
  rule.keep = true;
  CHECK_EQUAL(drafted(rule, tokens, 4), 0);
}

TEST("stop rule: the acceptance model is the formula that the docs give") {
  const AcceptanceModel model{.bias = 0.5, .logit = 0.7, .margin = -0.3, .entropy = -0.2, .place = 0.1,
                              .is_drafters_own = false};
  const double z = 0.5 + 0.7 * std::log(0.25 / 0.75) - 0.3 * 0.125 - 0.2 * 2 + 0.1 * std::log(4.0);
  CHECK(std::abs(model.of({0.25f, 0.125f, 2}, 3) - 1 / (1 + std::exp(-z))) < 1e-12);
  CHECK(model.of({0, 0, 0}, 0) > 0);  // no infinity at 0 and 1
  CHECK(model.of({1, 1, 0}, 0) < 1);
}

TEST("stop rule: drafting goes on while a further token is worth its time, and looks across a riser") {
  const std::vector<Signals> sure(8, {.probability = 1, .margin = 1, .entropy = 0});
  // Up to four rows a token costs 0.1 ms, at 0.1 tokens per ms: 0.01 tokens.
  CHECK_EQUAL(drafted(staircase(0.1, 0.5), sure, 8), 3);
  // The riser costs a token. One token more isn't worth it, five are.
  CHECK_EQUAL(drafted(staircase(0.1, 0.99), sure, 4), 3);
  CHECK_EQUAL(drafted(staircase(0.1, 0.99), sure, 8), 8);
  // Time so dear that not even the first is worth it.
  CHECK_EQUAL(drafted(staircase(50, 0.9), sure, 8), 0);
  // Doubt: 0.001 ahead of a draft that is right with 0.01.
  const std::vector<Signals> doubtful(8, {.probability = 0.01f, .margin = 0, .entropy = 5});
  CHECK_EQUAL(drafted(staircase(0.1, 0.1), doubtful, 8), 1);
}

TEST("stop rule: a draft's first token of a model has to be worth asking it") {
  StopRule rule = staircase(0.1, 0.5);
  const std::vector<Signals> sure(3, {.probability = 1, .margin = 1, .entropy = 0});
  CHECK_EQUAL(drafted(rule, sure, 3), 3);
  rule.start_ms = 12;  // 1.2 tokens, where 0.875 are to be expected
  CHECK(!rule.worth_more(0, 1, 3, false));
  CHECK(rule.worth_more(1, 1, 3, true));
  // A match is taken all the same.
  const Signals match = Signals::of_match(0.9f, Origin::kNgram);
  CHECK(rule.worth_more(0, 1, 3, false, &match));
}

TEST("stop rule: what is verified is what is worth its rows") {
  const StopRule rule = staircase(0.1, 0.5);
  const std::vector<Signals> sure(8, {.probability = 0.9f, .margin = 0.8f, .entropy = 0});
  const std::span<const Signals> all = sure;
  CHECK_EQUAL(rule.trimmed(all.first(3), 0), 3);
  CHECK_EQUAL(rule.trimmed(all.first(4), 0), 3);  // the fourth would climb the riser for 0.66 tokens
  CHECK_EQUAL(rule.trimmed(all, 0), 8);           // eight gain 2.7 more for one step's time
  CHECK_EQUAL(rule.trimmed({}, 0), 0);
  CHECK_EQUAL(StopRule{}.trimmed(all, 0), 8);  // time has no price
}

TEST("stop rule: a change of rows has to be worth it too") {
  StopRule rule = staircase(0.1, 0.5);
  const std::vector<Signals> tokens(3, {.probability = 0.2f, .margin = 0, .entropy = 0});
  CHECK_EQUAL(rule.trimmed(tokens, 1), 3);
  rule.rebuild_ms = 5;  // half a token, for a quarter
  CHECK_EQUAL(rule.trimmed(tokens, 1), 0);
  CHECK_EQUAL(rule.trimmed(tokens, 4), 3);
  CHECK_EQUAL(rule.trimmed(tokens, 0), 3);  // nothing came before
}

TEST("stop rule: beyond its curve rows go on costing what the last one does") {
  StopRule rule;
  rule.tokens_per_ms = 0.1;
  rule.curve = 2;
  rule.verify_ms[0] = 10;
  rule.verify_ms[1] = 14;
  const std::vector<Signals> tokens(5, {.probability = 0.5f, .margin = 0, .entropy = 0});
  CHECK_EQUAL(rule.trimmed(tokens, 0), 1);  // 0.5, 0.25, … tokens at 0.4 each
  rule.curve = 1;                           // a single point: flat
  CHECK_EQUAL(rule.trimmed(tokens, 0), 5);
}

}  // namespace adaptive_spec
