// The target's sampler: argmax where that is all, llama.cpp's chain otherwise.
#include "verify/sampler.h"

#include <algorithm>
#include <limits>

#include "kernels/logits.h"

namespace adaptive_spec {
namespace {

// Tokens that are looked at one by one before a row is masked as a whole, which takes as long as some hundred.
constexpr int kOthers = 16;

float probability_in(const llama_token_data_array& row, int32_t token) {
  // A whole row has each id at its own place.
  if (token < static_cast<int32_t>(row.size) && row.data[token].id == token) return row.data[token].p;
  const std::span<const llama_token_data> all(row.data, row.size);
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.id == token; });
  return found != all.end() ? found->p : 0;
}

void copy_distribution(const llama_token_data_array& row, Distribution& to) {
  to.resize(row.size);
  for (size_t i = 0; i < row.size; ++i) to[i] = {row.data[i].id, row.data[i].p};
  sort_by_id(to);
}

}  // namespace

SamplerChain llama_chain(const SamplingParams& params, int n_vocab, const llama_vocab* vocab) {
  SamplerChain chain(llama_sampler_chain_init({.no_perf = true}));
  const auto add = [&](llama_sampler* sampler) { llama_sampler_chain_add(chain.get(), sampler); };
  if (params.penalizes_tokens())
    add(llama_sampler_init_penalties(n_vocab, params.penalty_last_n, params.repeat_penalty, params.frequency_penalty,
                                     params.presence_penalty));
  if (params.dry.is_on() && vocab) {
    const DryParams& dry = params.dry;
    std::vector<const char*> breakers;
    for (const std::string& breaker : dry.breakers) breakers.push_back(breaker.c_str());
    add(llama_sampler_init_dry(vocab, dry.multiplier, dry.base, dry.allowed_length, dry.last_n, breakers.data(),
                               breakers.size()));
  }
  if (params.temperature <= 0) {
    add(llama_sampler_init_greedy());
    return chain;
  }
  if (params.top_k > 0) add(llama_sampler_init_top_k(params.top_k));
  if (params.top_p < 1) add(llama_sampler_init_top_p(params.top_p, 1));
  if (params.min_p > 0) add(llama_sampler_init_min_p(params.min_p, 1));
  add(llama_sampler_init_temp(params.temperature));
  // llama.cpp takes this one seed as the wish for a random one, which would give a new text each time.
  constexpr uint32_t kInstead = 0x5EED5EED;
  add(llama_sampler_init_dist(params.seed == LLAMA_DEFAULT_SEED ? kInstead : params.seed));
  return chain;
}

Sampler::Sampler(const SamplingParams& params, std::span<const int32_t> prompt, std::vector<int32_t> masked,
                 int n_vocab, Grammar* grammar, const llama_vocab* vocab)
    : masked_(std::move(masked)),
      biases_(params.biases),
      n_vocab_(n_vocab),
      seed_(params.seed),
      grammar_(grammar) {
  if (params.temperature <= 0 && !params.penalizes()) return;
  chain_ = llama_chain(params, n_vocab, vocab);
  for (int32_t token : prompt) llama_sampler_accept(chain_.get(), token);
  if (Shortlist::serves(params, n_vocab)) shortlist_.emplace(params, n_vocab);
  if (TemperatureDraw::serves(params, n_vocab)) draw_.emplace(params.temperature, n_vocab);
}

int32_t Sampler::sample(float* logits) {
  mask(logits);
  int32_t token = pick(logits);
  if (grammar_ && token >= 0 && !grammar_->allows(token)) token = pick_legal(logits, token);
  if (token < 0) return token;
  if (chain_) llama_sampler_accept(chain_.get(), token);
  if (grammar_) grammar_->accept(token);
  return token;
}

// As llama.cpp has it: where the token that was picked without the grammar is illegal, the row is masked and the
// whole chain picks again. Greedy comes to the same by looking at the next best tokens first.
int32_t Sampler::pick_legal(float* logits, int32_t illegal) {
  for (int others = 0; !chain_ && illegal >= 0 && others < kOthers; ++others) {
    logits[illegal] = -std::numeric_limits<float>::infinity();
    illegal = argmax(logits, n_vocab_);
    if (illegal >= 0 && grammar_->allows(illegal)) return illegal;
  }
  grammar_->mask(logits);
  const int32_t token = pick(logits);
  is_stuck_ = token < 0;
  return token;
}

int32_t Sampler::pick(float* logits) {
  if (!chain_) return argmax(logits, n_vocab_);
  if (draw_) {
    llama_sampler* dist = llama_sampler_chain_get(chain_.get(), llama_sampler_chain_n(chain_.get()) - 1);
    if (const std::optional<int32_t> token = draw_->draw(logits, dist)) return *token;
  }
  const auto row = apply_chain(logits);
  return row ? row->data[row->selected].id : -1;
}

int32_t Sampler::sample(float* logits, std::span<const Proposal> proposals, uint64_t position) {
  mask(logits);
  const auto row = apply_chain(logits);
  if (!row) return -1;
  int32_t token = proposals[0].token;
  // The whole distribution is needed for another one only.
  if (!is_accepted(probability_in(*row, token), proposals[0], seed_, position)) {
    copy_distribution(*row, left_);
    token = accept_or_replace(left_, proposals, seed_, position);
  }
  llama_sampler_accept(chain_.get(), token);
  return token;
}

Distribution Sampler::distribution(float* logits) {
  mask(logits);
  const auto row = apply_chain(logits);
  Distribution all;
  if (row) copy_distribution(*row, all);
  return all;
}

void Sampler::mask(float* logits) const {
  for (const LogitBias& one : biases_) logits[one.token] += one.bias;
  for (int32_t id : masked_) logits[id] = -std::numeric_limits<float>::infinity();
}

std::optional<llama_token_data_array> Sampler::apply_chain(const float* logits) {
  if (shortlist_) {
    const Shortlist::Outcome outcome = shortlist_->shorten(logits);
    if (outcome == Shortlist::Outcome::kBadRow) return std::nullopt;
    if (outcome == Shortlist::Outcome::kShort) return apply_chain(shortlist_->entries(), shortlist_->links_done());
  }
  if (argmax(logits, n_vocab_) < 0) return std::nullopt;
  whole_row_.resize(n_vocab_);
  for (int32_t id = 0; id < n_vocab_; ++id) whole_row_[id] = {id, logits[id], 0};
  return apply_chain({whole_row_.data(), whole_row_.size(), -1, false}, 0);
}

llama_token_data_array Sampler::apply_chain(llama_token_data_array row, int first) {
  for (int link = first; link < llama_sampler_chain_n(chain_.get()); ++link)
    llama_sampler_apply(llama_sampler_chain_get(chain_.get(), link), &row);
  return row;
}

}  // namespace adaptive_spec
