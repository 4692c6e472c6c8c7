// The engine as JavaScript sees it: options in, one dispatch function out.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/engine.h"
#include "js_controller.h"
#include "napi_setup.h"

namespace adaptive_spec {

// Lifetime: the engine thread calls the thread-safe function only while it runs, and it is joined before Node may
// finalise that function: in on_closed's handler, in the environment's cleanup hook (added after the function, so
// run before its own), or at the process's exit.
class JsEngine : public Napi::ObjectWrap<JsEngine>, private Listener {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  // new NativeEngine(options, exchange, dispatch); loading begins at once.
  explicit JsEngine(const Napi::CallbackInfo& info);
  ~JsEngine() override;

 private:
  // As in lib/binding.ts.
  enum Kind {
    kProgress, kLoaded, kLoadFailed, kWarning, kStep, kEnd, kClosed, kMeasured, kPlainSteps, kWorded, kWordsFailed
  };
  using MakeValue = std::function<Napi::Value(Napi::Env)>;
  struct Event {
    Kind kind;
    int64_t request = 0;
    int slot = 0;
    double done = 0;
    std::string code, message, hint;
    std::unique_ptr<StepReport> report;
    std::unique_ptr<RequestResult> result;
    std::unique_ptr<LoadedInfo> loaded;
    std::vector<double> ms;
    MakeValue make;  // of kWorded
  };

  // Called from JavaScript.
  Napi::Value submit(const Napi::CallbackInfo& info);    // (request) -> undefined
  Napi::Value abort(const Napi::CallbackInfo& info);     // (request id)
  Napi::Value forget_session(const Napi::CallbackInfo& info);  // (session)
  Napi::Value measure(const Napi::CallbackInfo& info);   // (id, kind, rows, context length, repeats, all logits)
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value tokenize(const Napi::CallbackInfo& info);  // (text, addSpecial, parseSpecial) -> Int32Array
  Napi::Value fewest_tokens(const Napi::CallbackInfo& info);  // (text) -> number, 0 where it isn't known
  Napi::Value detokenize(const Napi::CallbackInfo& info);  // (Int32Array, special) -> string
  Napi::Value control_names(const Napi::CallbackInfo& info);   // () -> [string]
  Napi::Value pieces(const Napi::CallbackInfo& info);          // (Int32Array) -> [Uint8Array]
  Napi::Value apply_template(const Napi::CallbackInfo& info);  // ([{role, content}], turn) -> string
  Napi::Value set_exchange(const Napi::CallbackInfo& info);
  Napi::Value set_followed(const Napi::CallbackInfo& info);  // (whether somebody waits for what requests write)
  Napi::Value compile_grammar(const Napi::CallbackInfo& info);  // (grammar) -> what submit takes as `grammar`
  Napi::Value apply_tools(const Napi::CallbackInfo& info);      // (messages, tools: JSON; required, parallel, turn) -> prompt and more

  // The same as those without Later, on the text desk: (id, ...), answered by kWorded or kWordsFailed.
  Napi::Value tokenize_later(const Napi::CallbackInfo& info);
  Napi::Value apply_template_later(const Napi::CallbackInfo& info);
  Napi::Value apply_tools_later(const Napi::CallbackInfo& info);
  Napi::Value drop_later(const Napi::CallbackInfo& info);  // (id): one that has not begun is not answered
  void later(const Napi::CallbackInfo& info, std::function<MakeValue()> work);
  const ChatTemplate& desk_chat();  // on the text desk

  // Called on the engine thread.
  void on_progress(double done) override;
  void on_loaded(LoadedInfo info) override;
  void on_load_failed(std::string code, std::string message, std::string hint) override;
  void on_warning(std::string code, std::string message) override;
  void on_step(int64_t request, int slot, StepReport report) override;
  void on_end(int64_t request, RequestResult result) override;
  void on_measured(int64_t measurement, std::vector<double> ms) override;
  void on_closed() override;
  bool is_followed() const override { return followed_; }
  void flush() override;
  void post(Event event);

  // Called on the JavaScript thread by the thread-safe function.
  void drain(Napi::Env env, napi_value dispatch);
  void pass_on(Napi::Env env, napi_value dispatch, const Event& event);
  void hold(Napi::Env env);
  void release(Napi::Env env);
  void finish(Napi::Env env);

  std::mutex mutex_;  // guards outbox_
  std::vector<Event> outbox_;
  std::atomic<bool> woken_{false};
  std::atomic<bool> followed_{false};
  std::vector<PlainStep> plain_;  // scratch
  napi_threadsafe_function wake_ = nullptr;
  int holds_ = 0;  // reasons to keep the process alive: loading, closing, each request
  bool loaded_ = false, closed_ = false;
  std::shared_ptr<const GrammarVocabulary> grammar_vocabulary_;  // made for the first grammar
  std::unique_ptr<ChatTemplate> desk_chat_;  // made there for the first long conversation
  JsController controller_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace adaptive_spec
