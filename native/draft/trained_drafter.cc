// Follows the target row by row; drafts from where it stands, anew for each accepted text.
#include "draft/trained_drafter.h"

#include <common.h>
#include <log.h>
#include <speculative.h>

#include <algorithm>
#include <cmath>

#include "engine/clock.h"
#include "kernels/buffer_type.h"

namespace adaptive_spec {
namespace {

const Signals kUntold{.probability = NAN, .margin = NAN, .entropy = NAN, .origin = Origin::kModel};

// libcommon lets EAGLE-3's encoder have a row of logits for each of its rows, which nobody reads.
constexpr int kEncoderRows = 64;

const char* type_of(HeadKind kind) {
  return kind == HeadKind::kEagle3 ? "draft-eagle3" : kind == HeadKind::kMtp ? "draft-mtp" : "draft-dflash";
}

EngineError cannot_run(const TrainedHead& head, const std::string& why) {
  return {"NATIVE_FAILURE", std::string("The ") + name_of(head.kind) + " draft head can't be run" + why + ".",
          "Use another draft, or none: n-grams draft then."};
}

}  // namespace

TrainedDrafter::TrainedDrafter(TrainedHead head, Context& target, const Options& options, ggml_threadpool* pool,
                               const std::atomic<bool>* abort, const std::vector<int32_t>& never)
    : head_(std::move(head)),
      target_(target),
      abort_(abort),
      never_(never),
      kernels_(options.kernels),
      parallel_(options.parallel),
      most_(head_.most > 0 ? head_.most : options.max_depth),
      read_(options.parallel, 0),
      lost_(options.parallel, false),
      primed_(options.parallel, false),
      proposals_(options.parallel) {
  common_log_set_verbosity_thold(-1);  // it would start a thread of its own
  make_context(options, pool);
  start();
}

TrainedDrafter::~TrainedDrafter() = default;

void TrainedDrafter::Deleter::operator()(common_speculative* p) const { common_speculative_free(p); }

void TrainedDrafter::make_context(const Options& options, ggml_threadpool* pool) {
  llama_context_params params = llama_context_default_params();
  if (head_.kind == HeadKind::kMtp) params.ctx_type = LLAMA_CONTEXT_TYPE_MTP;
  // A draft reaches beyond the text, and what follows a batch of the target's reads one row more of each sequence.
  params.n_ctx = static_cast<uint32_t>(options.context_size + most_ + 1) * parallel_;
  params.n_batch = std::max<uint32_t>(llama_n_batch(target_.get()) + parallel_, parallel_ * (most_ + 1));
  params.n_ubatch = head_.kind == HeadKind::kEagle3 ? std::min<uint32_t>(params.n_batch, kEncoderRows) : params.n_batch;
  params.n_seq_max = parallel_;
  params.kv_unified = parallel_ > 1;
  params.n_outputs_max = parallel_ * (most_ + 1);
  params.n_threads = params.n_threads_batch = options.threads;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.no_perf = true;
  params.ctx_other = target_.get();
  params.abort_callback = [](void* self) { return static_cast<const TrainedDrafter*>(self)->must_stop(); };
  params.abort_callback_data = this;
  try {
    context_.reset(llama_init_from_model(head_.model.get(), params));
  } catch (const std::exception& error) {
    throw cannot_run(head_, std::string(": ") + error.what());
  }
  if (!context_) throw cannot_run(head_, "");
  threads_.attach(context_.get(), pool, options.threads);
}

// Two tokens through both, and a draft of one for each sequence: libcommon takes no count of accepted tokens before a
// sequence's first draft, and what can't be run fails here.
void TrainedDrafter::start() {
  std::fill(primed_.begin(), primed_.end(), false);
  common_params_speculative params;
  params.types = {common_speculative_type_from_name(type_of(head_.kind))};
  params.draft.ctx_tgt = target_.get();
  params.draft.ctx_dft = context_.get();
  params.draft.n_max = most_;
  params.draft.backend_sampling = false;
  try {
    common_.reset(common_speculative_init(params, static_cast<uint32_t>(parallel_)));
  } catch (const std::exception& error) {
    throw cannot_run(head_, std::string(": ") + error.what());
  }
  target_.outputs_changed();
  const std::vector<int32_t> text = {0, 0, 0};
  target_.clear_batch();
  for (int seq = 0; seq < parallel_; ++seq)
    for (int i = 0; i < 2; ++i) target_.add(text[i], i, seq, i == 1);
  if (target_.decode() == DecodeStatus::kOk) follow(target_.batch());
  std::vector<Draft> drafts(parallel_);
  std::vector<Draft*> all;
  for (int seq = 0; seq < parallel_; ++seq) {
    drafts[seq].seq = seq;
    drafts[seq].accepted = text;
    drafts[seq].depth = 1;
    if (is_in_step(drafts[seq])) all.push_back(&drafts[seq]);
  }
  if (!all.empty()) propose(all);
  const bool works = std::all_of(primed_.begin(), primed_.end(), [](bool primed) { return primed; });
  for (int seq = 0; seq < parallel_; ++seq) end(seq, 0);
  target_.forget_all();
  // Aborted, it says nothing: the engine is being closed, or a request was taken back meanwhile.
  if (!works && !*abort_) throw cannot_run(head_, "");
}

void TrainedDrafter::compute(const std::function<void()>& task) {
  const ComputeScope scope(kernels_);
  threads_.compute([&] {
    task();
    return true;
  });
}

void TrainedDrafter::forget(int seq, int position) {
  llama_memory_seq_rm(llama_get_memory(context_.get()), seq, position, -1);
}

void TrainedDrafter::follow(const llama_batch& batch) {
  // Rows of a sequence stand together, in order. Where some were missed, nothing of it can be followed any more; and
  // libcommon takes a batch as a whole.
  bool is_whole = true;
  for (int row = 0; row < batch.n_tokens; ++row) {
    const int seq = batch.seq_id[row][0];
    const bool is_first = row == 0 || batch.seq_id[row - 1][0] != seq;
    lost_[seq] = lost_[seq] || (is_first && batch.pos[row] != read_[seq]);
    is_whole &= !lost_[seq];
    if (is_first) forget(seq, read_[seq]);
  }
  if (is_whole) compute([&] { is_whole = common_speculative_process(common_.get(), batch); });
  for (int row = 0; row < batch.n_tokens; ++row) {
    const int seq = batch.seq_id[row][0];
    if (is_whole)
      read_[seq] = batch.pos[row] + 1;
    else
      lose(seq);
  }
}

void TrainedDrafter::lose(int seq) {
  lost_[seq] = true;
  read_[seq] = 0;
  forget(seq, 0);
}

bool TrainedDrafter::is_in_step(const Draft& draft) const {
  return !lost_[draft.seq] && read_[draft.seq] > 0 && read_[draft.seq] == static_cast<int>(draft.accepted.size()) - 1;
}

bool TrainedDrafter::must_stop() const {
  if (abort_->load(std::memory_order_relaxed)) return true;
  // libcommon drafts as many tokens as it was set up for, a pass each: the first pass too many is cut short.
  return !growing_.empty() && std::all_of(growing_.begin(), growing_.end(), [](const Proposal* p) {
    return static_cast<int>(p->tokens.size()) >= p->wanted;
  });
}

void TrainedDrafter::propose(std::span<Draft*> drafts) {
  const double start = now_ms();
  std::vector<std::vector<int32_t>> read(drafts.size());
  for (size_t i = 0; i < drafts.size(); ++i) {
    const Draft& draft = *drafts[i];
    read[i].assign(draft.accepted.begin(), draft.accepted.end() - 1);
    Proposal& proposal = proposals_[draft.seq];
    const bool is_block = head_.kind == HeadKind::kDflash;
    proposal = {.tokens = {}, .at = draft.accepted.size(), .wanted = is_block ? most_ : draft.depth};
    growing_.push_back(&proposal);
    forget(draft.seq, read_[draft.seq]);
    common_speculative_get_draft_params(common_.get(), draft.seq) = {.drafting = true,
                                                                     .n_max = proposal.wanted,
                                                                     .pos0 = read_[draft.seq],
                                                                     .id_last = draft.accepted.back(),
                                                                     .prompt = &read[i],
                                                                     .result = &proposal.tokens};
  }
  compute([&] { common_speculative_draft(common_.get()); });
  growing_.clear();
  for (const Draft* draft : drafts)
    if (!proposals_[draft->seq].tokens.empty()) primed_[draft->seq] = true;
  // The passes serve all drafts at once, so each is charged its share.
  const double ms = (now_ms() - start) / static_cast<double>(drafts.size());
  for (Draft* draft : drafts) draft->draft_ms += ms;
}

void TrainedDrafter::extend(std::span<Draft*> drafts) {
  std::vector<Draft*> to_propose;
  for (Draft* draft : drafts) {
    const Proposal& proposal = proposals_[draft->seq];
    draft->stopped |= !is_in_step(*draft);
    if (!draft->wants_any()) continue;
    const bool is_there = proposal.at == draft->accepted.size();
    const int has = static_cast<int>(proposal.tokens.size());
    const bool is_enough = is_there && (has >= std::min(draft->depth, most_) || has < proposal.wanted);
    // Before its plan is there (no stop rule yet), one token would cost a pass that a deeper draft makes again; a block
    // costs the same for any depth.
    if (!is_enough && (draft->stop || head_.kind == HeadKind::kDflash)) to_propose.push_back(draft);
  }
  if (!to_propose.empty()) propose(to_propose);
  for (Draft* draft : drafts) {
    const Proposal& proposal = proposals_[draft->seq];
    if (proposal.at != draft->accepted.size()) continue;
    while (draft->wants_any()) {
      const size_t at = draft->tokens.size();
      const int32_t token = at < proposal.tokens.size() ? proposal.tokens[at] : -1;
      const bool ends = token < 0 || token >= target_.n_vocab() ||
                        (draft->mask_eog && std::find(never_.begin(), never_.end(), token) != never_.end());
      if (ends)
        draft->stopped = true;
      else
        draft->offer(token, kUntold);
    }
  }
}

void TrainedDrafter::roll_back(int seq, int length, int kept) {
  const int stays = length + kept;
  if (lost_[seq] || read_[seq] <= stays) return;
  if (!primed_[seq]) return lose(seq);
  common_speculative_accept(common_.get(), seq, static_cast<uint16_t>(kept));
  read_[seq] = stays;
  // EAGLE-3 keeps each hidden state together with the token behind it, and the last of these was not accepted.
  forget(seq, head_.kind == HeadKind::kEagle3 ? stays - 1 : stays);
}

void TrainedDrafter::end(int seq, int) {
  read_[seq] = 0;
  lost_[seq] = false;
  proposals_[seq] = {};
  forget(seq, 0);
}

void TrainedDrafter::wipe() {
  llama_memory_clear(llama_get_memory(context_.get()), true);
  common_.reset();
  start();
}

}  // namespace adaptive_spec
