// When a draft ends before its depth, and how much of it is verified: the numbers that a plan sets, and their use.
// lib/control/stop-rule.ts says the same in TypeScript; both must give the same drafts.
#pragma once

#include <array>
#include <limits>
#include <span>

namespace adaptive_spec {

// What a drafter says of one token. probability: softmax at temperature 1; margin: less the second best's; nats.
struct Signals {
  float probability = 0, margin = 0, entropy = 0;
};

// How probable it is that the target agrees with a token, given that it agreed with those before.
struct AcceptanceModel {
  double bias = 0, logit = 1, margin = 0, entropy = 0, place = 0;
  bool is_drafters_own = true;  // the drafter's probability is taken as it is

  double of(const Signals& signals, int place_in_draft) const;
};

struct StopRule {
  static constexpr int kCurve = 65;

  double min_probability = 0;
  double max_entropy = std::numeric_limits<double>::infinity();
  double min_acceptance = 0, min_survival = 0;
  AcceptanceModel acceptance;
  // What a millisecond is worth, in tokens. 0: time has no price, nothing is stopped or trimmed by value.
  double tokens_per_ms = 0;
  double draft_ms = 0, rebuild_ms = 0, ahead = 0;
  int curve = 0;  // entries of verify_ms
  std::array<double, kCurve> verify_ms{};  // of 1, 2, … rows

  // Whether a draft of `k` tokens, all of them right with probability `survival`, should grow towards `depth`.
  bool worth_more(int k, double survival, int depth) const;
  // Whether the token at place `k` is not to be drafted; else `survival` becomes that with it.
  bool refuses(const Signals& signals, int k, double& survival) const;
  // Of the tokens with these signals, how many are worth verifying, after a step of `rows_before` rows (0: none).
  int trimmed(std::span<const Signals> signals, int rows_before) const;

 private:
  double verify(int rows) const;
};

}  // namespace adaptive_spec
