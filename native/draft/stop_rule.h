// When a draft ends before its depth, and how much of it is verified: the numbers that a plan sets, and their use.
// lib/control/stop-rule.ts says the same in TypeScript; both must give the same drafts.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>

namespace adaptive_spec {

// Where a draft token comes from; lib/control/controller.ts has the same numbers.
enum class Origin : uint8_t {
  kModel = 0,           // the draft model
  kNgram = 1,           // a match in the text, sure enough that the model was not asked
  kNgramOverModel = 2,  // a match that was preferred to what the model said
  kGrammar = 3,         // the only text that the request's grammar allows there; nobody was asked
};

// What is known of one draft token before it is verified.
struct Signals {
  float probability = 0;  // the model's softmax at temperature 1, or the match's score
  float margin = 0;       // probability less the second best's
  float entropy = 0;      // nats
  float match = 0;        // of a model's token: the score of a match that proposes it too, less than 0 for another token
  Origin origin = Origin::kModel;

  // Whether its drafter says how sure it is; else the first three are NaN, and no rule stops at it.
  bool told() const { return probability == probability; }
  // A match knows one token only: margin and entropy are those of right or wrong.
  static Signals of_match(float score, Origin origin);
  // Of a token that a grammar forces. It can still be written in other tokens.
  static Signals of_forced();

  bool is_free() const { return origin == Origin::kNgram || origin == Origin::kGrammar; }
};

// How probable it is that the target agrees with a token, given that it agreed with those before.
struct AcceptanceModel {
  double bias = 0, logit = 1, margin = 0, entropy = 0, place = 0, match = 0;  // of a model's token
  double ngram_bias = 0, ngram_logit = 1;                                    // of a match
  bool is_drafters_own = true;  // the drafter's probability is taken as it is

  double of(const Signals& signals, int place_in_draft) const;
};

struct StopRule {
  static constexpr int kCurve = 65;

  double min_probability = 0;
  double max_entropy = std::numeric_limits<double>::infinity();
  double min_acceptance = 0, min_survival = 0;
  bool keep = false;  // the token at which one of these stops is the draft's last, instead of being left out
  AcceptanceModel acceptance;
  // What a millisecond is worth, in tokens. 0: time has no price, nothing is stopped or trimmed by value.
  double tokens_per_ms = 0;
  double draft_ms = 0, rebuild_ms = 0, ahead = 0;
  double start_ms = 0;  // more for a draft's first token of a model
  int curve = 0;  // entries of verify_ms
  std::array<double, kCurve> verify_ms{};  // of 1, 2, … rows

  // Whether a draft of `k` tokens, all of them right with probability `survival`, should grow towards `depth`.
  // `next`: the token that a match proposes, which costs nothing to draft; without one the model would be asked.
  // `asked`: it has been, for one of the `k`.
  bool worth_more(int k, double survival, int depth, bool asked, const Signals* next = nullptr) const;
  // Whether the token at place `k` ends the draft; else `survival` becomes that with it.
  bool refuses(const Signals& signals, int k, double& survival) const;
  // Of the tokens with these signals, how many are worth verifying, after a step of `rows_before` rows (0: none) and
  // besides `rows` that are computed anyhow.
  int trimmed(std::span<const Signals> signals, int rows_before, int rows = 1) const;
  // Of rows that would bring these expected tokens, in this order: how many are worth their time, besides `rows` that are
  // computed anyhow.
  int worth_rows(std::span<const double> gains, int rows, int rows_before) const;
  // What a row costs in tokens, on the average of those behind the first in a batch of so many.
  double row_price(int rows) const;

 private:
  double verify(int rows) const;
};

}  // namespace adaptive_spec
