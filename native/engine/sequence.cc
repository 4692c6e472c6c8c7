// Stop rules and counters of one request.
#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "engine/clock.h"

namespace adaptive_spec {

Sequence::Sequence(Request r, int slot, const llama_vocab* vocab, const std::vector<int32_t>& eog, int context_size)
    : request(std::move(r)),
      slot(slot),
      tokens(request.prompt),
      sampler(request.sampling, request.prompt, request.ignore_eos ? eog : std::vector<int32_t>{},
              llama_vocab_n_tokens(vocab), request.grammar.get(), vocab),
      text(request.stops),
      plan(request.plan),
      vocab_(vocab),
      eog_(eog),
      context_size_(context_size) {
  draft.seq = slot;
  draft.mask_eog = request.ignore_eos;
  draft.shares = request.shares;
  if (request.grammar) draft.guide = &walk.emplace(*request.grammar);
  // A drawn token that the grammar forbids is never offered, so that what is offered was drawn from another distribution
  // than the draft's: beside a grammar tokens are compared.
  if (request.sampling.rejects() && !request.grammar) draft.sampling = &request.sampling;
  result.prompt_tokens = static_cast<int>(request.prompt.size());
  result.queue_ms = now_ms() - request.submitted_ms;
}

int32_t Sequence::pick(float* logits, size_t row) {
  if (!read_proposals(tree, static_cast<int>(row) - 1, proposals)) return sampler.sample(logits);
  return sampler.sample(logits, proposals, tokens.size());
}

void Sequence::look(const float* logits) {
  if (request.logprobs < 0) return;
  if (!reader_) reader_.emplace(request.logprobs);
  reader_->look(logits, llama_vocab_n_tokens(vocab_));
}

bool Sequence::emit(int32_t token, const float* logits) {
  tokens.push_back(token);
  emitted.push_back(token);
  if (reader_) {
    TokenLogprobs& told = logprobs.emplace_back(reader_->take(token, logits));
    append_piece(vocab_, token, told.token.piece, true);
    for (TokenChance& other : told.top) append_piece(vocab_, other.id, other.piece, true);
  }
  result.tokens.push_back(token);
  if (result.tokens.size() == 1) result.first_token_ms = now_ms() - request.submitted_ms;
  if (!request.ignore_eos && std::find(eog_.begin(), eog_.end(), token) != eog_.end()) {
    result.reason = FinishReason::kStop;
    over = true;
    return false;
  }
  std::string piece;
  const auto& named = request.named;
  append_piece(vocab_, token, piece, std::find(named.begin(), named.end(), token) != named.end());
  if (text.add(piece)) {
    result.reason = FinishReason::kStop;
    result.stop_string = text.stopped_by();
    over = true;
  } else if (static_cast<int>(result.tokens.size()) >= request.max_tokens ||
             static_cast<int>(tokens.size()) > context_size_) {
    result.reason = FinishReason::kLength;
    over = true;
  }
  return !over;
}

int Sequence::room() const {
  // A step emits one token more than it drafts, and its last row stands at position tokens.size() - 1 + depth.
  const int left = request.max_tokens - static_cast<int>(result.tokens.size()) - 1;
  return std::max(0, std::min(left, context_size_ - static_cast<int>(tokens.size())));
}

StepReport Sequence::report(const AcceptedPath& path) {
  const int accepted = path.chain;
  const double now = now_ms();
  StepReport r;
  r.step = step;
  r.position = static_cast<int>(result.tokens.size());
  r.depth = step == 0 ? 0 : plan.depth;
  r.drafted = static_cast<int>(draft.tokens.size());
  r.verified = verified;
  r.accepted = accepted;
  r.tokens = emitted;
  r.logprobs = std::exchange(logprobs, {});
  r.text = over ? text.take() + text.take_rest() : text.take();
  r.draft_tokens = draft.tokens;
  r.signals = draft.signals;
  for (const TokenTree::Node& node : tree.nodes().subspan(tree.chain())) {
    r.beside_tokens.push_back(node.token);
    r.beside_parents.push_back(node.parent);
    r.beside_probabilities.push_back(static_cast<float>(node.probability));
  }
  r.beside_accepted = path.beside;
  r.draft_ms = draft.draft_ms;
  r.catch_up_ms = draft.catch_up_ms;
  r.verify_ms = verify_ms;
  r.wait_ms = wait_ms;
  r.other_ms = std::max(0.0, now - mark_ms - r.draft_ms - r.catch_up_ms - r.verify_ms);
  r.rows = step == 0 ? 0 : rows;
  r.context_length = step == 0 ? prefilled : static_cast<int>(tokens.size()) - 1;
  r.reused = step == 0 ? result.reused_tokens : 0;
  r.drafter = r.drafted > 0 ? drafter : -1;
  r.late = late;
  mark_ms = now;

  if (step > 0) {
    ++result.steps;
    result.draft_tokens += r.drafted;
    result.verified_tokens += verified;
    result.accepted_tokens += accepted;
    result.beside_tokens += tree.beside();
    result.beside_accepted += path.beside;
    result.late_plans += late;
    if (static_cast<int>(result.verified_per_position.size()) < verified) {
      result.verified_per_position.resize(verified);
      result.accepted_per_position.resize(verified);
    }
    for (int i = 0; i < verified; ++i) {
      ++result.verified_per_position[i];
      result.accepted_per_position[i] += i < accepted;
    }
    result.decode_ms += r.draft_ms + r.catch_up_ms + r.verify_ms + r.other_ms;
    result.draft_ms += r.draft_ms;
    result.catch_up_ms += r.catch_up_ms;
    result.verify_ms += r.verify_ms;
    result.other_ms += r.other_ms;
    result.wait_ms += r.wait_ms;
    if (request.keep_steps) {
      result.step_depth.push_back(r.depth);
      result.step_drafted.push_back(r.drafted);
      result.step_accepted.push_back(accepted);
    }
  }
  ++step;
  emitted.clear();
  verify_ms = wait_ms = 0;
  rows_before = r.rows;
  late = false;
  return r;
}

void Sequence::fail(const EngineError& error) {
  result.reason = FinishReason::kError;
  result.error_code = error.code;
  result.error_message = error.what();
  result.error_hint = error.hint;
  over = true;
}

RequestResult Sequence::finish() {
  over = true;
  result.keep_steps = request.keep_steps;
  return std::move(result);
}

}  // namespace adaptive_spec
