// The interface behind which every drafter stands: something cheap that proposes the next tokens of a sequence.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "draft/guide.h"
#include "draft/stop_rule.h"
#include "draft/token_tree.h"
#include "engine/load_watch.h"
#include "verify/distribution.h"
#include "verify/sampling_params.h"

struct ggml_threadpool;
struct llama_batch;

namespace adaptive_spec {

// Tokens of prompts that are read at once while other requests generate: their streams wait for no more than that.
inline constexpr int kPieceRows = 64;

// One sequence's draft while it grows. Vectors have one entry per proposed token.
struct Draft {
  int seq = 0;                        // sequence id, 0 .. parallel - 1
  std::span<const int32_t> accepted;  // prompt and emitted tokens, target ids, the newest last
  int depth = 0;                      // grow to this many tokens
  const StopRule* stop = nullptr;     // ends it before that; null: nothing does
  bool mask_eog = false;              // never propose an end of generation
  bool shares = false;                // other requests' text may be proposed
  DraftGuide* guide = nullptr;        // what it must keep to; null: nothing
  const SamplingParams* sampling = nullptr;  // draw the model's tokens by these; null: take its likeliest
  bool others_wait = false;           // other sequences are in this step: catching up must be done piece by piece
  bool wants_guesses = false;         // other tokens too, where the drafter has them for nothing
  int asks_beside = 0;                // guesses that a model may be asked to go on from, in passes that it makes anyhow
  bool stopped = false;               // the drafter won't grow this draft further
  std::vector<int32_t> tokens;        // proposed, target ids
  std::vector<Signals> signals;       // of the row, not of the token, where that was drawn: verify/rejection.h says why
  std::vector<Distribution> drawn_from;  // over target ids; empty where a token was certain
  std::vector<Guess> guesses;         // beside `tokens`, and what may follow them; more than one may be of a place
  double survival = 1;                // probability that all of them are right, by the stop rule
  double draft_ms = 0, catch_up_ms = 0;

  // Whether it may grow at all.
  bool wants_any() const { return !stopped && static_cast<int>(tokens.size()) < depth; }
  // Whether a model should be asked for another token.
  bool wants_more() const {
    return wants_any() && (!stop || stop->worth_more(tokens.size(), survival, depth, has_asked()));
  }
  // Whether this token, which costs nothing to draft, is worth verifying.
  bool wants(const Signals& match) const {
    return !stop || stop->worth_more(tokens.size(), survival, depth, has_asked(), &match);
  }
  // Whether a model was asked for one of its tokens.
  bool has_asked() const {
    return std::any_of(signals.begin(), signals.end(), [](const Signals& of) { return !of.is_free(); });
  }
  // Whether the token may stand where the draft has come to.
  bool allows(int32_t token) const { return !guide || guide->allows(token); }
  // Whether it may stand behind these tokens after the accepted text. The guide is left there.
  bool allows_after(std::span<const int32_t> path, int32_t token) const {
    if (!guide) return true;
    guide->rewind();
    return std::all_of(path.begin(), path.end(), [this](int32_t one) { return guide->take(one); }) &&
           guide->allows(token);
  }
  // Brings the guide back to where the draft has come to.
  void return_guide() {
    if (!guide) return;
    guide->rewind();
    for (int32_t token : tokens) guide->take(token);
  }
  // Whether a model that is asked for the next token should be asked what comes after a guess too. Its row is taken to
  // cost what a pass does, which is more: what it does cost is not known.
  bool wants_after(const Guess& guess) const {
    return guess.place + 1 < depth &&
           (!stop || stop->worth_more(guess.place + 1, guess.probability, depth, true));
  }
  // Takes a proposal in, or stops at it: then it is the last token or none, as the stop rule says.
  void offer(int32_t token, const Signals& of_token, Distribution from = {}) {
    if (guide && !guide->take(token)) {
      stopped = true;  // nothing behind it can be accepted
      return;
    }
    stopped = stop && stop->refuses(of_token, static_cast<int>(tokens.size()), survival);
    if (stopped && !stop->keep) return;
    tokens.push_back(token);
    signals.push_back(of_token);
    drawn_from.push_back(std::move(from));
  }
  bool has_drawn_tokens() const {
    return std::any_of(drawn_from.begin(), drawn_from.end(), [](const Distribution& from) { return !from.empty(); });
  }

  // Takes in what the guide forces, as far as it is worth verifying. Asked before any other proposal.
  void take_forced() {
    while (guide && wants_any()) {
      const std::optional<int32_t> token = guide->forced();
      if (!token || !wants(Signals::of_forced())) return;
      offer(*token, Signals::of_forced());
    }
  }

  // Another token for a place that has one. Whether the guide allows it there is to be asked before that place is taken.
  void guess(int place, int32_t token, float share) {
    if (!wants_guesses || token < 0 || place >= static_cast<int>(tokens.size()) || token == tokens[place]) return;
    add_guess(place, token, share, -1);
  }
  // A token that may follow one of the guesses. Answers its place among them; -1 where it is there already.
  int follow(int guess, int32_t token, float share) { return add_guess(guesses[guess].place + 1, token, share, guess); }
  // The tokens up to a guess, it included.
  void path_to(int guess, std::vector<int32_t>& path) const {
    path.assign(guesses[guess].place + 1, 0);
    for (; guess >= 0 && !path.empty(); guess = guesses[guess].below) {
      const auto place = static_cast<size_t>(guesses[guess].place);
      path[place] = guesses[guess].token;
      if (guesses[guess].below < 0) std::copy_n(tokens.begin(), place, path.begin());
    }
  }

  void clear() {
    stopped = false;
    if (guide) guide->rewind();
    tokens.clear();
    signals.clear();
    drawn_from.clear();
    guesses.clear();
    survival = 1;
    draft_ms = catch_up_ms = 0;
  }

 private:
  int add_guess(int place, int32_t token, float share, int below) {
    for (const Guess& other : guesses)
      if (other.place == place && other.token == token && other.below == below) return -1;
    guesses.push_back({.place = place, .token = token, .share = std::clamp(share, 0.0f, 1.0f), .below = below});
    return static_cast<int>(guesses.size()) - 1;
  }
};

class Drafter {
 public:
  virtual ~Drafter() = default;
  virtual const char* name() const = 0;
  // Grows each draft to its depth or to its stop rule, from where it is: all sequences in one batch. A call
  // that is aborted or fails leaves shorter drafts and a cache that is still a prefix of the accepted text.
  virtual void extend(std::span<Draft*> drafts) = 0;
  // Adds what may follow a draft's guesses, `most` tokens at most, where that takes no model. Called once a step, when the
  // draft has come to its end; its guide may be left anywhere.
  virtual void follow_guesses(Draft&, int /*most*/) {}
  // The target has just read these rows, and its hidden states are still there.
  virtual void follow(const llama_batch&) {}
  // Of `drafted` proposals, `kept` were accepted; `length` is the accepted text's length before them.
  virtual void roll_back(int seq, int length, int kept) = 0;
  // Accepted tokens that this drafter has not read yet, given the accepted text's length.
  virtual int lag(int seq, int length) const = 0;
  // Computes on these threads from now on, if it does on threads.
  virtual void use(ggml_threadpool* pool, int threads) = 0;
  // What that took since the last call.
  virtual ThreadUse take_use() = 0;
  // The sequence is over. What was cached of its first `kept` tokens may stay for a later one, which begins with some of
  // them: roll_back says with how many. All else is forgotten.
  virtual void end(int seq, int kept) = 0;
  // There may be NaN in what the target has read, and in what is cached of it. No sequence is there.
  virtual void wipe() {}
};

}  // namespace adaptive_spec
