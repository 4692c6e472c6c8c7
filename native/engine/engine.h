// The engine thread: owns every llama.cpp object, takes requests in and runs steps until none is left.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "draft/drafter.h"
#include "draft/model_drafter.h"
#include "draft/ngram_store.h"
#include "engine/chat.h"
#include "engine/context.h"
#include "engine/crew.h"
#include "engine/listener.h"
#include "engine/plan_desk.h"
#include "engine/sequence.h"
#include "engine/session_shelf.h"
#include "engine/step.h"
#include "engine/text_desk.h"
#include "engine/token_length.h"

namespace adaptive_spec {

struct EngineOptions {
  std::string model_path, draft_path;  // draft_path '' is no draft model
  int context_size = 4096, parallel = 1, max_depth = 32, batch_size = 512;
  int branches = 0;  // beside the chain of each request's draft; 0: chains alone
  int threads = 1, draft_threads = 0;  // 0: as many as are found fastest
  bool mtp = false;  // the target's own MTP layer drafts
  int cores = 0;                       // that this process may use; 0: those of its affinity
  bool mmap = true, mlock = false;
  std::string kv_type = "f16";
  int flash_attention = -1;
  std::string kernels = "auto";  // or amx, avx512, avx2, ggml
  std::string numa;  // '', interleave (ours), distribute, isolate, numactl (ggml's)
  double plan_deadline_ms = 20;
  uint32_t store_tokens = 0;  // of finished requests' text, to draft from; 0: none is kept
  std::string store_path;     // where that lies between engines; '' nowhere
  std::string chat_template;  // Jinja, in place of the model's own; '': its own
};

// What is to be timed, after `context` tokens, `repeats` times over.
struct Measurement {
  enum Kind {
    kTarget,    // a pass of so many rows through the target: for each of `rows` in turn
    kDraft,     // a draft token: the mean of a draft of rows[0], begun with two new tokens as after a full acceptance
    kSampling,  // the choice of the likeliest token from one row of the target's logits
  };
  int64_t id = 0;
  Kind kind = kTarget;
  std::vector<int> rows = {1};
  int context = 0, repeats = 1;
  bool all_logits = true;  // kTarget: or the last row's alone
};

// Members above the line run on any thread and never wait for the engine, except close_and_join.
class Engine {
 public:
  Engine(EngineOptions options, Listener& listener);
  ~Engine();  // close_and_join
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void submit(Request request);
  void abort(int64_t request);
  // What a session left in a slot is needed no more.
  void forget_session(int64_t session);
  // Done when no request is running; answered by on_measured, unless the engine is closed before.
  void measure(Measurement measurement);
  // Ends all requests as aborted, frees the models, then on_closed.
  void close();
  // The same, and waits for the thread. Only for the end of the environment or the process.
  void close_and_join();
  PlanDesk& desk() { return desk_; }

  // After on_loaded and before close: the target's vocabulary and template, read-only.
  const llama_vocab* vocab() const { return llama_model_get_vocab(target_model_.get()); }
  const ChatTemplate* chat_template() const { return chat_.get(); }
  const TokenLength& token_length() const { return *token_length_; }
  // A template of one's own, for another thread.
  std::unique_ptr<ChatTemplate> make_chat_template() const {
    return std::make_unique<ChatTemplate>(target_model_.get(), options_.chat_template);
  }
  // Its jobs may use the vocabulary, and are over before that goes.
  TextDesk& texts() { return texts_; }

  // ---
 private:
  void run();
  void load();
  void add_ngram_drafters();
  void save_store();
  void warm_up();
  // The number of threads, 1 to `threads`, on which a row of the draft model takes least.
  int fastest_threads(Context& draft);
  void serve();
  void round();
  // Fewer threads where others want the cores, more where they left them again (engine/load_watch.h).
  void adapt_threads();
  bool wait_for_work();
  void end_aborted();
  void admit();
  // Takes over what a request's session has of its prompt in the slot, and gives up what else is there.
  void resume(Sequence& sequence);
  std::shared_ptr<SessionState> save(int slot, std::span<const int32_t> tokens);
  void give_up(int slot);
  void give_up_all_sessions();
  void run_measurements();
  // Milliseconds, a time for each repeat (and each of `rows`); none where it was cut short or can't be done.
  std::vector<double> time_target(const Measurement& m);
  std::vector<double> time_draft(const Measurement& m);
  std::vector<double> time_sampling(const Measurement& m);
  void read_prompts();
  void end(std::unique_ptr<Sequence>& sequence);
  void start_afresh(const EngineError& error);

  const EngineOptions options_;
  Listener& listener_;
  PlanDesk desk_;
  std::atomic<bool> abort_decode_{false};

  std::mutex mutex_;  // guards what stands up to the empty line
  std::condition_variable work_;
  std::deque<Request> inbox_;
  std::deque<Measurement> measurements_;
  std::set<int64_t> to_abort_, active_;
  std::vector<int64_t> to_forget_;  // sessions
  bool closing_ = false;

  // Destroyed from below: contexts before models, the thread pools after the contexts.
  ModelHandle target_model_;
  std::unique_ptr<Crew> crew_;
  std::unique_ptr<ChatTemplate> chat_;
  std::unique_ptr<TokenLength> token_length_;
  std::unique_ptr<NgramStore> store_;  // null where none is kept
  std::vector<std::unique_ptr<Drafter>> drafters_;
  ModelDrafter* model_drafter_ = nullptr;  // one of drafters_
  std::unique_ptr<Context> target_;
  std::unique_ptr<Step> step_;
  std::vector<int32_t> eog_;
  int draft_threads_ = 1;
  std::vector<std::unique_ptr<Sequence>> slots_;
  SessionShelf shelf_;
  bool reuses_ = false;  // whether a sequence can go on from a part of what it has read
  std::vector<Sequence*> generating_, reading_;  // by what they do in this round
  int turn_ = 0;  // the slot whose prompt is read first
  TextDesk texts_;
  bool wipe_ = false;  // there may be NaN in the target's cache: nobody is admitted before it is wiped
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace adaptive_spec
