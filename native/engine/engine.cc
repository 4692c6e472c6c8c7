// The engine thread's life: load, warm up, serve, end.
#include "engine/engine.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <string_view>

#include "draft/common_drafter.h"
#include "draft/drafter.h"
#include "draft/hybrid_drafter.h"
#include "draft/model_drafter.h"
#include "draft/ngram_drafter.h"
#include "draft/ngram_store_file.h"
#include "draft/trained_drafter.h"
#include "engine/clock.h"
#include "engine/numa.h"
#include "engine/thread_name.h"
#include "engine/turn.h"

namespace adaptive_spec {
namespace {

EngineError native_failure(const std::string& why) {
  return {"NATIVE_FAILURE", why, "Run `adaptive-spec doctor`; the engine stays usable."};
}

}  // namespace

Engine::Engine(EngineOptions options, Listener& listener)
    : options_(std::move(options)), listener_(listener), desk_(options_.parallel), slots_(options_.parallel),
      shelf_(options_.parallel) {
  thread_ = std::thread([this] { run(); });
}

Engine::~Engine() { close_and_join(); }

void Engine::submit(Request request) {
  request.submitted_ms = now_ms();
  const std::lock_guard lock(mutex_);
  inbox_.push_back(std::move(request));
  work_.notify_one();
}

void Engine::measure(Measurement measurement) {
  const std::lock_guard lock(mutex_);
  measurements_.push_back(measurement);
  work_.notify_one();
}

void Engine::abort(int64_t request) {
  {
    const std::lock_guard lock(mutex_);
    to_abort_.insert(request);
    // A decode that serves nobody else is cut short, within one node of its graph.
    if (std::includes(to_abort_.begin(), to_abort_.end(), active_.begin(), active_.end())) abort_decode_ = true;
    work_.notify_one();
  }
  desk_.interrupt(false);
}

void Engine::forget_session(int64_t session) {
  const std::lock_guard lock(mutex_);
  to_forget_.push_back(session);  // its cells are in nobody's way before the next request
}

void Engine::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    abort_decode_ = true;
    work_.notify_one();
  }
  desk_.interrupt(true);
}

void Engine::close_and_join() {
  close();
  const std::lock_guard lock(join_mutex_);  // an environment and the process may end at the same time
  if (thread_.joinable()) thread_.join();
}

void Engine::run() {
  name_this_thread("adaptive-spec");
  bool loaded = false;
  try {
    load();
    loaded = true;
    serve();
  } catch (const EngineError& error) {
    if (!loaded) listener_.on_load_failed(error.code, error.what(), error.hint);
  } catch (const std::exception& error) {
    if (!loaded)
      listener_.on_load_failed("NATIVE_FAILURE", error.what(), "Run `adaptive-spec doctor` to see what is wrong.");
  }
  // Whatever ended the loop, no request is left without an end.
  for (auto& sequence : slots_)
    if (sequence) {
      sequence->result.reason = FinishReason::kAborted;
      listener_.on_end(sequence->request.id, sequence->finish());
      sequence.reset();
    }
  {
    const std::lock_guard lock(mutex_);
    for (const Request& request : inbox_) {
      RequestResult result;
      result.reason = FinishReason::kAborted;
      listener_.on_end(request.id, std::move(result));
    }
    inbox_.clear();
    closing_ = true;
  }
  texts_.close();
  save_store();
  step_.reset();
  drafters_.clear();
  store_.reset();
  target_.reset();
  chat_.reset();
  crew_.reset();
  target_model_.reset();
  listener_.on_closed();
  listener_.flush();
}

void Engine::load() {
  const double start = now_ms();
  start_backend();
  if (options_.cores > 0) Cores::of_process().set_count(options_.cores);
  if (options_.numa == "distribute") llama_numa_init(GGML_NUMA_STRATEGY_DISTRIBUTE);
  if (options_.numa == "isolate") llama_numa_init(GGML_NUMA_STRATEGY_ISOLATE);
  if (options_.numa == "numactl") llama_numa_init(GGML_NUMA_STRATEGY_NUMACTL);
  const bool interleave = options_.numa == "interleave";
  const auto memory_before = interleave ? anonymous_memory() : decltype(anonymous_memory()){};

  const KernelSet* kernels = find_kernels(options_.kernels);
  double told = 0;
  const ModelOptions model_options{
      .path = options_.model_path,
      .mmap = options_.mmap && !interleave,  // pages of a mapped file stay where they are
      .mlock = options_.mlock,
      .mtp = options_.mtp,
      .kernels = kernels,
      .threads = options_.threads,
      .placement = options_.numa,
      .progress = [&](float done) {
        if (done - told >= 0.05 || done >= 1) {
          told = done;
          listener_.on_progress(done);
          listener_.flush();
        }
        const std::lock_guard lock(mutex_);
        return !closing_;
      }};
  target_model_ = load_model(model_options);
  if (!llama_model_has_decoder(target_model_.get()) || llama_model_is_diffusion(target_model_.get()))
    throw EngineError("UNSUPPORTED", "This model doesn't generate text token by token.",
                      "Use a decoder-only or encoder-decoder text model.");
  crew_ = std::make_unique<Crew>(std::max(options_.threads, options_.draft_threads));
  llama_model* const model = target_model_.get();
  const bool may_branch =
      !llama_model_is_recurrent(model) && !llama_model_is_hybrid(model) && llama_model_n_swa(model) == 0;
  ContextOptions context{.context_size = options_.context_size,
                         .parallel = options_.parallel,
                         .branches = may_branch ? options_.branches : 0,
                         .max_rows = options_.parallel * (options_.max_depth + 1),
                         .batch_size = options_.batch_size,
                         .threads = options_.threads,
                         .kv_type = options_.kv_type,
                         .flash_attention = options_.flash_attention,
                         .kernels = kernels};
  target_ = std::make_unique<Context>(target_model_.get(), context, crew_->pool(), &abort_decode_);
  if (context.branches > 0 && !target_->can_branch()) {
    context.branches = 0;
    target_.reset();
    target_ = std::make_unique<Context>(model, context, crew_->pool(), &abort_decode_);
  }
  context.branches = 0;

  LoadedInfo info;
  info.can_roll_back = target_->can_roll_back();
  ModelHandle draft;
  std::optional<TrainedHead> head;
  if (info.can_roll_back && options_.mtp) head = check_mtp(target_model_, options_.model_path);
  if (info.can_roll_back && !options_.draft_path.empty()) {
    ModelOptions draft_options = model_options;
    draft_options.path = options_.draft_path;
    draft_options.mtp = false;
    draft = load_model(draft_options);
    if (is_trained_head(draft.get())) head = check_head(target_model_, draft, options_.draft_path);
  }
  if (head && target_->branches() > 0) {  // each row that it follows belongs to one sequence
    target_.reset();
    target_ = std::make_unique<Context>(model, context, crew_->pool(), &abort_decode_);
  }
  // Where sequences share a cache, llama.cpp puts new tokens into the cells of those that one's window has left.
  const bool slides = llama_model_n_swa(model) > 0;
  // What a head has read can be taken back to where the last step began, and no further.
  info.reuses = reuses_ = info.can_roll_back && !head && (!slides || options_.parallel == 1);
  info.saves = reuses_ && !slides;  // only what is in the window would be in the file
  if (!info.can_roll_back)
    listener_.on_warning("UNSUPPORTED",
                         "The target is a recurrent or hybrid model, whose state can't be rolled back: it runs "
                         "without speculation (K = 0).");
  else if (options_.branches > 0 && target_->branches() == 0)
    listener_.on_warning("UNSUPPORTED",
                         head ? "Drafts are chains, not trees: a trained draft head reads chains (docs/drafters.md)."
                              : "Drafts are chains, not trees: this target's cache can't hold branches, or not without "
                                "a change of the text (docs/trees.md).");
  if (draft && !head) {
    VocabularyMap map(target_model_.get(), draft.get(), options_.draft_path);
    const bool branches = !llama_model_is_recurrent(draft.get()) && !llama_model_is_hybrid(draft.get()) &&
                          llama_model_n_swa(draft.get()) == 0;
    context.branches = branches ? target_->branches() : 0;
    context.max_rows = options_.parallel * (1 + (context.branches > 0 ? ModelDrafter::kBeside : 0));
    context.threads = crew_->threads();
    auto drafter = std::make_unique<ModelDrafter>(std::move(draft), std::move(map), context, crew_->pool(),
                                                  &abort_decode_);
    if (drafter->context().can_roll_back()) {
      draft_threads_ = options_.draft_threads > 0 ? options_.draft_threads : fastest_threads(drafter->context());
      drafter->use(crew_->pool(), draft_threads_);
      model_drafter_ = drafter.get();
      drafters_.push_back(std::move(drafter));
    } else {
      listener_.on_warning("UNSUPPORTED",
                           "The draft is a recurrent or hybrid model, whose state can't be rolled back: it is left out, "
                           "and the text's own n-grams draft.");
    }
  }
  chat_ = std::make_unique<ChatTemplate>(target_model_.get(), options_.chat_template);
  token_length_ = std::make_unique<TokenLength>(target_model_.get());
  for (int32_t id = 0; id < target_->n_vocab(); ++id)
    if (llama_vocab_is_eog(vocab(), id)) eog_.push_back(id);
  if (head) {
    draft_threads_ = options_.draft_threads > 0 ? options_.draft_threads : options_.threads;
    const TrainedDrafter::Options sizes{.context_size = options_.context_size,
                                        .parallel = options_.parallel,
                                        .max_depth = options_.max_depth,
                                        .threads = draft_threads_,
                                        .kernels = kernels};
    drafters_.push_back(std::make_unique<TrainedDrafter>(std::move(*head), *target_, sizes, crew_->pool(),
                                                         &abort_decode_, eog_));
  }
  if (info.can_roll_back) add_ngram_drafters();
  step_ = std::make_unique<Step>(*target_, drafters_, desk_, listener_, options_.max_depth,
                                 options_.plan_deadline_ms);
  warm_up();
  if (interleave && interleave_since(memory_before) < 0)
    listener_.on_warning("UNSUPPORTED", "The system refused to interleave memory over NUMA nodes (mbind).");

  char description[128] = "";
  llama_model_desc(target_model_.get(), description, sizeof description);
  info.description = description;
  info.vocab_size = target_->n_vocab();
  info.context_size = options_.context_size;
  info.trained_context = llama_model_n_ctx_train(target_model_.get());
  info.parameters = llama_model_n_params(target_model_.get());
  info.model_bytes = llama_model_size(target_model_.get());
  info.threads = options_.threads;
  info.draft_threads = draft_threads_;
  info.kernels = kernels ? kernels->name : "ggml";
  info.branches = drafters_.empty() ? 0 : target_->branches();
  info.has_chat_template =
      !options_.chat_template.empty() || llama_model_chat_template(target_model_.get(), nullptr) != nullptr;
  for (const auto& drafter : drafters_) info.drafters.emplace_back(drafter->name());
  info.load_ms = now_ms() - start;
  listener_.on_loaded(std::move(info));
  listener_.flush();
}

// Without a model they cost nothing, so every engine that can take a draft back has them.
void Engine::add_ngram_drafters() {
  if (options_.store_tokens > 0) {
    store_ = std::make_unique<NgramStore>(options_.store_tokens);
    if (!options_.store_path.empty()) store_->restore(read_ngram_store(options_.store_path, vocab()));
  }
  auto ngram = std::make_unique<NgramDrafter>(options_.parallel, eog_, store_.get());
  auto hybrid = model_drafter_ ? std::make_unique<HybridDrafter>(*model_drafter_, *ngram) : nullptr;
  drafters_.push_back(std::move(ngram));
  if (hybrid) drafters_.push_back(std::move(hybrid));
  for (const std::string& name : CommonDrafter::names())
    drafters_.push_back(std::make_unique<CommonDrafter>(name, options_.parallel, options_.max_depth, eog_));
}

// Nobody waits for it, so what goes wrong costs the store and a warning.
void Engine::save_store() {
  if (!store_ || options_.store_path.empty() || !store_->has_news()) return;
  try {
    write_ngram_store(options_.store_path, vocab(), store_->tokens());
  } catch (const EngineError& error) {
    listener_.on_warning(error.code, error.what());
  }
}

// The largest batch once, so that buffers have their final size and pages are there before the first request.
void Engine::warm_up() {
  const int rows = std::min(options_.max_depth + 1, options_.context_size);
  target_->clear_batch();
  for (int seq = 0; seq < options_.parallel; ++seq)
    for (int i = 0; i < (drafters_.empty() ? 1 : rows); ++i) target_->add(0, i, seq, true);
  if (target_->decode() == DecodeStatus::kFailed)
    throw EngineError("NATIVE_FAILURE", "The target can't be run: " + target_->last_error(),
                      "Try another model or a smaller context size.");
  target_->forget_all();
}

int Engine::fastest_threads(Context& draft) {
  constexpr int kRows = 7;
  double least = 0;
  int best = 1;
  // From few to many, each twice as many, the last all: a small model is quickest where few have to meet.
  for (int threads = 1;; threads = std::min(2 * threads, options_.threads)) {
    draft.use(crew_->pool(), threads);
    std::vector<double> times;
    for (int i = 0; i < kRows; ++i) {
      draft.clear_batch();
      draft.add(0, i, 0, true);
      const double start = now_ms();
      if (draft.decode() == DecodeStatus::kOk) times.push_back(now_ms() - start);
    }
    draft.forget_all();
    if (times.size() < kRows) return options_.threads;  // aborted: the engine is being closed
    std::nth_element(times.begin(), times.begin() + kRows / 2, times.end());
    const double ms = times[kRows / 2];
    // More threads must be worth it: what they save is less than what a neighbour could take.
    if (threads == 1 || ms < 0.97 * least) {
      least = ms;
      best = threads;
    }
    if (threads == options_.threads) return best;
  }
}

void Engine::serve() {
  while (wait_for_work()) {
    try {
      round();
    } catch (const EngineError& error) {
      start_afresh(error);
    } catch (const std::exception& error) {
      start_afresh(native_failure(error.what()));
    }
  }
}

// Nobody knows what the caches hold after an exception: these requests end, the next ones start from nothing.
void Engine::start_afresh(const EngineError& error) {
  for (auto& sequence : slots_)
    if (sequence) {
      sequence->fail(error);
      end(sequence);
    }
  give_up_all_sessions();
  target_->forget_all();
}

// What one turn of the loop does for each request.
void Engine::round() {
  end_aborted();
  run_measurements();
  admit();
  generating_.clear();
  reading_.clear();
  for (size_t i = 0; i < slots_.size(); ++i) {
    // Prompts in turn, from the slot behind the one that was first before.
    if (Sequence* s = slots_[(turn_ + i) % slots_.size()].get(); s && s->step == 0) reading_.push_back(s);
    if (Sequence* s = slots_[i].get(); s && s->step > 0) generating_.push_back(s);
  }
  if (!reading_.empty()) read_prompts();
  if (!generating_.empty() && !step_->run(generating_) && !step_->failure().empty())
    for (Sequence* sequence : generating_) sequence->fail(native_failure(step_->failure()));
  for (auto& sequence : slots_)
    if (sequence && sequence->over) end(sequence);
  adapt_threads();
}

void Engine::adapt_threads() {
  ThreadUse use = target_->take_use();
  for (auto& drafter : drafters_) use += drafter->take_use();
  if (crew_->observe(use)) {
    target_->use(crew_->pool(), std::min(options_.threads, crew_->threads()));
    for (auto& drafter : drafters_)
      drafter->use(crew_->pool(), std::min(draft_threads_, crew_->threads()));
  }
}

bool Engine::wait_for_work() {
  std::unique_lock lock(mutex_);
  const bool idle = std::none_of(slots_.begin(), slots_.end(), [](const auto& s) { return s != nullptr; });
  if (idle && inbox_.empty() && measurements_.empty() && !closing_) {
    // An idle pool would spin on the cores for a while; a decode resumes it.
    crew_->pause();
    work_.wait(lock, [this] { return closing_ || !inbox_.empty() || !measurements_.empty(); });
  }
  return !closing_;
}

void Engine::end_aborted() {
  std::set<int64_t> aborted;
  {
    const std::lock_guard lock(mutex_);
    if (!closing_) abort_decode_ = false;
    aborted.swap(to_abort_);
    if (aborted.empty()) return;
    std::erase_if(inbox_, [&](const Request& request) {
      if (!aborted.contains(request.id)) return false;
      RequestResult result;
      result.reason = FinishReason::kAborted;
      result.prompt_tokens = static_cast<int>(request.prompt.size());
      listener_.on_end(request.id, std::move(result));
      return true;
    });
  }
  for (auto& sequence : slots_)
    if (sequence && aborted.contains(sequence->request.id)) {
      sequence->result.reason = FinishReason::kAborted;
      end(sequence);
    }
  listener_.flush();
}

void Engine::admit() {
  const bool held =
      wipe_ && std::any_of(slots_.begin(), slots_.end(), [](const auto& s) { return s != nullptr; });
  if (wipe_ && !held) {
    give_up_all_sessions();
    target_->wipe();
    for (auto& drafter : drafters_) drafter->wipe();
    wipe_ = false;
  }
  std::vector<bool> busy;
  for (const auto& sequence : slots_) busy.push_back(sequence != nullptr);
  std::vector<Sequence*> admitted;
  {
    const std::lock_guard lock(mutex_);
    for (const int64_t session : std::exchange(to_forget_, {}))
      if (const int slot = shelf_.slot_of(session); slot >= 0) give_up(slot);
    while (!held && !inbox_.empty()) {
      const int slot = shelf_.slot_for(inbox_.front().session, busy);
      if (slot < 0) break;
      busy[slot] = true;
      active_.insert(inbox_.front().id);
      slots_[slot] =
          std::make_unique<Sequence>(std::move(inbox_.front()), slot, vocab(), eog_, options_.context_size);
      inbox_.pop_front();
      admitted.push_back(slots_[slot].get());
    }
    const auto running = std::count(busy.begin(), busy.end(), true);
    step_->set_load(static_cast<int>(running), static_cast<int>(inbox_.size()));
  }
  for (Sequence* sequence : admitted) resume(*sequence);
}

void Engine::resume(Sequence& s) {
  const Request& request = s.request;
  std::vector<int32_t> cached;
  if (request.restored) {
    give_up(s.slot);
    const SessionState& state = *request.restored;
    if (reuses_ && target_->set_state(s.slot, state.target, static_cast<int>(state.tokens.size()))) {
      cached = state.tokens;
      if (model_drafter_) model_drafter_->restore(s.slot, state);
    }
  } else {
    const bool held = shelf_.holds(s.slot);
    cached = shelf_.take(s.slot, request.session);
    if (held && cached.empty()) give_up(s.slot);
  }
  s.request.restored.reset();
  if (cached.empty()) return;
  const int same = common_prefix(cached, request.prompt);
  if (same == 0) return give_up(s.slot);
  target_->keep(s.slot, same);
  for (auto& drafter : drafters_) drafter->roll_back(s.slot, same, 0);
  s.prefilled = s.result.reused_tokens = same;
}

std::shared_ptr<SessionState> Engine::save(int slot, std::span<const int32_t> tokens) {
  auto state = std::make_shared<SessionState>();
  state->tokens.assign(tokens.begin(), tokens.end());
  state->target = target_->state(slot);
  if (state->target.empty()) return nullptr;
  if (model_drafter_) model_drafter_->save(slot, *state);
  return state;
}

void Engine::give_up(int slot) {
  shelf_.take(slot, 0);
  target_->forget(slot);
  for (auto& drafter : drafters_) drafter->end(slot, 0);
}

void Engine::give_up_all_sessions() {
  for (int slot = 0; slot < options_.parallel; ++slot)
    if (shelf_.holds(slot)) give_up(slot);
}

// Between requests, since they need the cache for themselves.
void Engine::run_measurements() {
  if (std::any_of(slots_.begin(), slots_.end(), [](const auto& s) { return s != nullptr; })) return;
  while (true) {
    Measurement m;
    {
      const std::lock_guard lock(mutex_);
      if (measurements_.empty() || closing_) return;
      m = measurements_.front();
      measurements_.pop_front();
    }
    give_up_all_sessions();
    std::vector<double> ms;
    if (m.kind == Measurement::kTarget) ms = time_target(m);
    if (m.kind == Measurement::kDraft) ms = time_draft(m);
    if (m.kind == Measurement::kSampling) ms = time_sampling(m);
    target_->forget_all();
    listener_.on_measured(m.id, std::move(ms));
    listener_.flush();
  }
}

std::vector<double> Engine::time_target(const Measurement& m) {
  for (int filled = 0; filled < m.context;) {
    target_->clear_batch();
    for (; filled < m.context && target_->room() > 0; ++filled) target_->add(filled % 100, filled, 0, false);
    if (target_->decode() != DecodeStatus::kOk) return {};
  }
  std::vector<double> ms;
  for (int i = 0; i < m.repeats; ++i)
    for (const int rows : m.rows) {
      target_->clear_batch();
      for (int row = 0; row < rows; ++row)
        target_->add(row, m.context + row, 0, m.all_logits || row == rows - 1);
      const double start = now_ms();
      if (target_->decode() != DecodeStatus::kOk) return {};
      ms.push_back(now_ms() - start);
      target_->keep(0, m.context);
      adapt_threads();
    }
  return ms;
}

std::vector<double> Engine::time_draft(const Measurement& m) {
  const auto model = std::find_if(drafters_.begin(), drafters_.end(),
                                  [](const auto& drafter) { return drafter->name() == std::string_view("model"); });
  if (model == drafters_.end()) return {};
  Drafter& drafter = **model;
  const size_t tokens = m.rows[0];
  std::vector<double> ms;
  Draft draft;
  Draft* drafts[] = {&draft};
  draft.mask_eog = true;
  std::vector<int32_t> accepted(std::max(2, m.context));
  // The first token that the draft model knows too; the others are turned down before they are decoded.
  for (int32_t id = 0; id < target_->n_vocab() && draft.tokens.empty(); ++id) {
    draft.clear();
    std::fill(accepted.begin(), accepted.end(), id);
    draft.accepted = accepted;
    draft.depth = 1;
    drafter.roll_back(0, static_cast<int>(accepted.size()) - 2, 0);
    drafter.extend(drafts);
    if (abort_decode_) break;
  }
  for (int i = 0; i < m.repeats && !draft.tokens.empty(); ++i) {
    drafter.roll_back(0, static_cast<int>(accepted.size()) - 2, 0);
    draft.clear();
    draft.depth = m.rows[0];
    drafter.extend(drafts);
    if (draft.tokens.size() < tokens) break;
    ms.push_back(draft.draft_ms / static_cast<double>(tokens));
  }
  drafter.end(0, 0);
  if (static_cast<int>(ms.size()) < m.repeats) ms.clear();
  return ms;
}

std::vector<double> Engine::time_sampling(const Measurement& m) {
  target_->clear_batch();
  target_->add(0, 0, 0, true);
  if (target_->decode() != DecodeStatus::kOk) return {};
  Sampler sampler({}, {}, {}, target_->n_vocab());
  std::vector<double> ms;
  for (int i = 0; i < m.repeats; ++i) {
    const double start = now_ms();
    sampler.sample(target_->logits(0));
    ms.push_back(now_ms() - start);
  }
  return ms;
}

// One batch of what is yet to be read. Never together with a step's rows: these are of another shape, and must not wait
// for a long prompt.
void Engine::read_prompts() {
  const double start = now_ms();
  turn_ = reading_.front()->slot + 1;
  target_->clear_batch();
  const int most = generating_.empty() ? target_->room() : std::min(target_->room(), kPieceRows);
  std::erase_if(reading_, [&](Sequence* s) {
    const bool has_place = target_->rows() < most || s->unread() == 0;
    for (; target_->rows() < most && s->unread() > 0; ++s->prefilled)
      target_->add(s->request.prompt[s->prefilled], s->prefilled, s->slot, false);
    return !has_place;
  });
  const DecodeStatus status = target_->rows() > 0 ? target_->decode() : DecodeStatus::kOk;
  if (target_->rows() > 0 && status == DecodeStatus::kOk)
    for (auto& drafter : drafters_) drafter->follow(target_->batch());
  for (Sequence* s : reading_) {
    if (status == DecodeStatus::kFailed) {
      s->fail(native_failure(target_->last_error()));
      continue;
    }
    if (status == DecodeStatus::kAborted) {
      // Aborted pieces may be there in part; if this request goes on, it does so from what is.
      s->prefilled = std::min(s->prefilled, target_->length(s->slot));
      target_->keep(s->slot, s->prefilled);
    }
    s->verify_ms += now_ms() - start;
    if (s->unread() == 0) step_->begin(*s);
  }
}

void Engine::end(std::unique_ptr<Sequence>& sequence) {
  {
    const std::lock_guard lock(mutex_);
    active_.erase(sequence->request.id);
    to_abort_.erase(sequence->request.id);
  }
  const int slot = sequence->slot;
  const int64_t session = sequence->request.session;
  const bool stays = session != 0 && reuses_ && sequence->result.reason != FinishReason::kError;
  const int length =
      !stays ? 0 : sequence->step == 0 ? sequence->prefilled : std::min<int>(sequence->cached, sequence->tokens.size());
  if (length > 0)
    target_->keep(slot, length);
  else
    target_->forget(slot);
  wipe_ |= sequence->result.error_code == kBadLogits;
  for (auto& drafter : drafters_) drafter->end(slot, length);
  if (length > 0) {
    const std::span<const int32_t> cached = std::span<const int32_t>(sequence->tokens).first(length);
    if (sequence->request.saves) sequence->result.saved = save(slot, cached);
    shelf_.put(slot, session, {cached.begin(), cached.end()});
  }
  const bool is_kept = store_ && sequence->request.shares && sequence->result.reason != FinishReason::kError;
  desk_.forget(sequence->slot);
  listener_.on_end(sequence->request.id, sequence->finish());
  listener_.flush();
  // Behind the answer, which need not wait for it, and before the next request.
  if (is_kept) store_->enter(sequence->tokens);
  sequence.reset();
}

}  // namespace adaptive_spec
