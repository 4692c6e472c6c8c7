// Requests in, events out, one crossing for all that happened.
#include "js_engine.h"

#include <cstdlib>
#include <map>
#include <thread>

#include "js_options.h"
#include "js_structured.h"

namespace adaptive_spec {
namespace {

// process.exit and an uncaught throw end the main thread without an environment's cleanup, and static objects die
// under a running engine. So engines are also joined at exit.
std::mutex live_mutex;
std::map<Engine*, std::thread::id> live_engines;  // and the thread of their environment

void join_live_engines() {
  const std::lock_guard lock(live_mutex);
  for (const auto& [engine, thread] : live_engines) engine->close_and_join();
}

// exit() first destroys what is thread_local on its thread, and only then what is static: in time even for the
// statics that a load is making meanwhile.
struct JoinAtExit {
  ~JoinAtExit() {
    const std::lock_guard lock(live_mutex);
    for (const auto& [engine, thread] : live_engines)
      if (thread == std::this_thread::get_id()) engine->close_and_join();
  }
};

std::vector<int32_t> tokens_of(const llama_vocab* vocab, const std::string& text, bool add_special, bool parse_special) {
  std::vector<int32_t> tokens(text.size() + 8);
  const auto run = [&] {
    return llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                          static_cast<int32_t>(tokens.size()), add_special, parse_special);
  };
  int n = run();
  if (n < 0) {
    tokens.resize(-n);
    n = run();
  }
  tokens.resize(std::max(0, n));
  return tokens;
}

Napi::Int32Array to_array(Napi::Env env, const std::vector<int32_t>& values) {
  Napi::Int32Array array = Napi::Int32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

using Messages = std::vector<std::pair<std::string, std::string>>;

Messages messages_of(Napi::Array list) {
  Messages messages;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const auto message = list.Get(i).As<Napi::Object>();
    messages.emplace_back(message.Get("role").As<Napi::String>().Utf8Value(),
                          message.Get("content").As<Napi::String>().Utf8Value());
  }
  return messages;
}

// What applyTools is asked.
struct ToolTurn {
  std::string messages, tools;
  bool required, parallel;
  TurnOptions turn;

  ToolPrompt apply(const ChatTemplate& chat, const llama_vocab* vocab) const {
    return apply_tools(chat, vocab, messages, tools, required, parallel, turn);
  }
};

ToolTurn tool_turn(const Napi::CallbackInfo& info, size_t first) {
  return {info[first].As<Napi::String>().Utf8Value(), info[first + 1].As<Napi::String>().Utf8Value(),
          info[first + 2].As<Napi::Boolean>().Value(), info[first + 3].As<Napi::Boolean>().Value(),
          turn_options(info[first + 4].As<Napi::Object>())};
}

// The environment's cleanup hook.
void join_engine(void* engine) { static_cast<Engine*>(engine)->close_and_join(); }

}  // namespace

void JsEngine::define(Napi::Env env, Napi::Object exports) {
  exports["NativeEngine"] =
      DefineClass(env, "NativeEngine",
                  {InstanceMethod("submit", &JsEngine::submit), InstanceMethod("abort", &JsEngine::abort),
                   InstanceMethod("forgetSession", &JsEngine::forget_session),
                   InstanceMethod("measure", &JsEngine::measure), InstanceMethod("close", &JsEngine::close),
                   InstanceMethod("tokenize", &JsEngine::tokenize),
                   InstanceMethod("fewestTokens", &JsEngine::fewest_tokens),
                   InstanceMethod("detokenize", &JsEngine::detokenize),
                   InstanceMethod("pieces", &JsEngine::pieces),
                   InstanceMethod("controlNames", &JsEngine::control_names),
                   InstanceMethod("applyTemplate", &JsEngine::apply_template),
                   InstanceMethod("setExchange", &JsEngine::set_exchange),
                   InstanceMethod("setFollowed", &JsEngine::set_followed),
                   InstanceMethod("compileGrammar", &JsEngine::compile_grammar),
                   InstanceMethod("applyTools", &JsEngine::apply_tools),
                   InstanceMethod("tokenizeLater", &JsEngine::tokenize_later),
                   InstanceMethod("applyTemplateLater", &JsEngine::apply_template_later),
                   InstanceMethod("applyToolsLater", &JsEngine::apply_tools_later),
                   InstanceMethod("dropLater", &JsEngine::drop_later)});
}

JsEngine::JsEngine(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  controller_.set_exchange(info[1].As<Napi::Object>());
  const napi_status status = napi_create_threadsafe_function(
      env, info[2], nullptr, Napi::String::New(env, "adaptive-spec"), 0, 1, nullptr, nullptr, this,
      [](napi_env raw_env, napi_value dispatch, void* self, void*) {
        if (!raw_env) return;  // the call is being dropped at its environment's end
        try {
          static_cast<JsEngine*>(self)->drain(raw_env, dispatch);
        } catch (const Napi::Error&) {
          // After a callback that ended its thread (process.exit, terminate) no value can be made any more. Nobody
          // would hear of it either; the cleanup hook does the rest.
        }
      },
      &wake_);
  if (status != napi_ok) throw Napi::Error::New(env, "Could not create a thread-safe function.");
  napi_unref_threadsafe_function(env, wake_);
  Listener& listener = *this;
  engine_ = std::make_unique<Engine>(engine_options(info[0].As<Napi::Object>()), listener);
  {
    const std::lock_guard lock(live_mutex);
    live_engines.emplace(engine_.get(), std::this_thread::get_id());
  }
  [[maybe_unused]] static thread_local JoinAtExit join_at_exit;
  napi_add_env_cleanup_hook(env, join_engine, engine_.get());
  Ref();  // until closed: the engine thread and the hook point here
  hold(env);  // until loaded
}

JsEngine::~JsEngine() {
  const std::lock_guard lock(live_mutex);
  live_engines.erase(engine_.get());
}

Napi::Value JsEngine::submit(const Napi::CallbackInfo& info) {
  hold(info.Env());
  const auto o = info[0].As<Napi::Object>();
  Request made = request(o);
  made.grammar = compiled_grammar(o.Get("grammar"));
  engine_->submit(std::move(made));
  return info.Env().Undefined();
}

Napi::Value JsEngine::abort(const Napi::CallbackInfo& info) {
  if (!closed_) engine_->abort(info[0].As<Napi::Number>().Int64Value());
  return info.Env().Undefined();
}

Napi::Value JsEngine::forget_session(const Napi::CallbackInfo& info) {
  if (!closed_) engine_->forget_session(info[0].As<Napi::Number>().Int64Value());
  return info.Env().Undefined();
}

Napi::Value JsEngine::measure(const Napi::CallbackInfo& info) {
  const auto number = [&](int i) { return info[i].As<Napi::Number>().Int32Value(); };
  const auto rows = info[2].As<Napi::Int32Array>();
  hold(info.Env());
  engine_->measure({.id = number(0),
                    .kind = static_cast<Measurement::Kind>(number(1)),
                    .rows = {rows.Data(), rows.Data() + rows.ElementLength()},
                    .context = number(3),
                    .repeats = number(4),
                    .all_logits = info[5].As<Napi::Boolean>().Value()});
  return info.Env().Undefined();
}

Napi::Value JsEngine::close(const Napi::CallbackInfo& info) {
  if (!closed_ && loaded_) hold(info.Env());
  loaded_ = false;
  engine_->close();
  return info.Env().Undefined();
}

Napi::Value JsEngine::tokenize(const Napi::CallbackInfo& info) {
  const std::string text = info[0].As<Napi::String>().Utf8Value();
  return to_array(info.Env(), tokens_of(engine_->vocab(), text, info[1].As<Napi::Boolean>(), info[2].As<Napi::Boolean>()));
}

Napi::Value JsEngine::tokenize_later(const Napi::CallbackInfo& info) {
  later(info, [this, text = info[1].As<Napi::String>().Utf8Value(), add_special = info[2].As<Napi::Boolean>().Value(),
               parse_special = info[3].As<Napi::Boolean>().Value()]() -> MakeValue {
    return [tokens = tokens_of(engine_->vocab(), text, add_special, parse_special)](Napi::Env env) -> Napi::Value {
      return to_array(env, tokens);
    };
  });
  return info.Env().Undefined();
}

Napi::Value JsEngine::fewest_tokens(const Napi::CallbackInfo& info) {
  const std::string text = info[0].As<Napi::String>().Utf8Value();
  return Napi::Number::New(info.Env(), static_cast<double>(engine_->token_length().fewest(text)));
}

Napi::Value JsEngine::detokenize(const Napi::CallbackInfo& info) {
  const auto tokens = info[0].As<Napi::Int32Array>();
  std::string text;
  for (size_t i = 0; i < tokens.ElementLength(); ++i)
    if (tokens[i] >= 0 && tokens[i] < llama_vocab_n_tokens(engine_->vocab()))
      append_piece(engine_->vocab(), tokens[i], text);
  return Napi::String::New(info.Env(), text);
}

Napi::Value JsEngine::pieces(const Napi::CallbackInfo& info) {
  const auto tokens = info[0].As<Napi::Int32Array>();
  Napi::Array pieces = Napi::Array::New(info.Env(), tokens.ElementLength());
  for (size_t i = 0; i < tokens.ElementLength(); ++i) {
    std::string piece;
    if (tokens[i] >= 0 && tokens[i] < llama_vocab_n_tokens(engine_->vocab()))
      append_piece(engine_->vocab(), tokens[i], piece, true);
    Napi::Uint8Array bytes = Napi::Uint8Array::New(info.Env(), piece.size());
    std::copy(piece.begin(), piece.end(), bytes.Data());
    pieces[i] = bytes;
  }
  return pieces;
}

Napi::Value JsEngine::control_names(const Napi::CallbackInfo& info) {
  const llama_vocab* vocab = engine_->vocab();
  Napi::Array names = Napi::Array::New(info.Env());
  for (int32_t id = 0; id < llama_vocab_n_tokens(vocab); ++id)
    // What llama.cpp finds in a text with parse_special, and not without.
    if (llama_vocab_get_attr(vocab, id) & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN))
      names[names.Length()] = Napi::String::New(info.Env(), llama_vocab_get_text(vocab, id));
  return names;
}

Napi::Value JsEngine::apply_template(const Napi::CallbackInfo& info) {
  const Messages messages = messages_of(info[0].As<Napi::Array>());
  const TurnOptions turn = turn_options(info[1].As<Napi::Object>());
  return with_errors(info.Env(),
                     [&] { return Napi::String::New(info.Env(), engine_->chat_template()->apply(messages, turn)); });
}

Napi::Value JsEngine::apply_template_later(const Napi::CallbackInfo& info) {
  later(info, [this, messages = messages_of(info[1].As<Napi::Array>()),
               turn = turn_options(info[2].As<Napi::Object>())]() -> MakeValue {
    return [prompt = desk_chat().apply(messages, turn)](Napi::Env env) -> Napi::Value {
      return Napi::String::New(env, prompt);
    };
  });
  return info.Env().Undefined();
}

Napi::Value JsEngine::set_exchange(const Napi::CallbackInfo& info) {
  controller_.set_exchange(info[0].As<Napi::Object>());
  return info.Env().Undefined();
}

Napi::Value JsEngine::set_followed(const Napi::CallbackInfo& info) {
  followed_ = info[0].As<Napi::Boolean>().Value();
  return info.Env().Undefined();
}

Napi::Value JsEngine::compile_grammar(const Napi::CallbackInfo& info) {
  return with_errors(info.Env(), [&] {
    if (!grammar_vocabulary_) grammar_vocabulary_ = std::make_shared<GrammarVocabulary>(engine_->vocab());
    return to_js(info.Env(), std::make_shared<Grammar>(grammar_vocabulary_, grammar_source(info[0].As<Napi::Object>())));
  });
}

Napi::Value JsEngine::apply_tools(const Napi::CallbackInfo& info) {
  const ToolTurn asked = tool_turn(info, 0);
  return with_errors(info.Env(), [&] { return to_js(info.Env(), asked.apply(*engine_->chat_template(), engine_->vocab())); });
}

Napi::Value JsEngine::apply_tools_later(const Napi::CallbackInfo& info) {
  later(info, [this, asked = tool_turn(info, 1)]() -> MakeValue {
    return [made = asked.apply(desk_chat(), engine_->vocab())](Napi::Env env) -> Napi::Value { return to_js(env, made); };
  });
  return info.Env().Undefined();
}

Napi::Value JsEngine::drop_later(const Napi::CallbackInfo& info) {
  if (!closed_ && engine_->texts().drop(info[0].As<Napi::Number>().Int64Value())) release(info.Env());
  return info.Env().Undefined();
}

void JsEngine::later(const Napi::CallbackInfo& info, std::function<MakeValue()> work) {
  hold(info.Env());
  const int64_t id = info[0].As<Napi::Number>().Int64Value();
  engine_->texts().add(id, [this, id, work = std::move(work)] {
    Event event{.kind = kWorded, .request = id};
    try {
      event.make = work();
    } catch (const EngineError& error) {
      event = {.kind = kWordsFailed, .request = id, .code = error.code, .message = error.what(), .hint = error.hint};
    } catch (const std::exception& error) {
      event = {.kind = kWordsFailed, .request = id, .code = "NATIVE_FAILURE", .message = error.what(),
               .hint = "Run `adaptive-spec doctor`; the engine stays usable."};
    }
    post(std::move(event));
    flush();
  });
}

// A template may run on one thread only, and the engine's own is JavaScript's.
const ChatTemplate& JsEngine::desk_chat() {
  if (!desk_chat_) desk_chat_ = engine_->make_chat_template();
  return *desk_chat_;
}

// --- On the engine thread.

void JsEngine::post(Event event) {
  const std::lock_guard lock(mutex_);
  outbox_.push_back(std::move(event));
}

void JsEngine::flush() {
  // One wake-up is enough for all that is posted before it is heard.
  if (!woken_.exchange(true)) napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
}

void JsEngine::on_progress(double done) { post({.kind = kProgress, .done = done}); }

void JsEngine::on_loaded(LoadedInfo info) {
  // Where thread_local objects don't go first (musl): last in, first out, so this one, added after loading, runs
  // before the statics that loading has made are destroyed.
  std::atexit(join_live_engines);
  post({.kind = kLoaded, .loaded = std::make_unique<LoadedInfo>(std::move(info))});
}

void JsEngine::on_load_failed(std::string code, std::string message, std::string hint) {
  post({.kind = kLoadFailed, .code = std::move(code), .message = std::move(message), .hint = std::move(hint)});
}

void JsEngine::on_warning(std::string code, std::string message) {
  post({.kind = kWarning, .code = std::move(code), .message = std::move(message)});
}

void JsEngine::on_step(int64_t request, int slot, StepReport report) {
  post({.kind = kStep, .request = request, .slot = slot, .report = std::make_unique<StepReport>(std::move(report))});
}

void JsEngine::on_end(int64_t request, RequestResult result) {
  post({.kind = kEnd, .request = request, .result = std::make_unique<RequestResult>(std::move(result))});
}

void JsEngine::on_measured(int64_t measurement, std::vector<double> ms) {
  post({.kind = kMeasured, .request = measurement, .ms = std::move(ms)});
}

void JsEngine::on_closed() { post({.kind = kClosed}); }

// --- On the JavaScript thread.

void JsEngine::drain(Napi::Env env, napi_value dispatch) {
  woken_ = false;
  std::vector<Event> events;
  {
    const std::lock_guard lock(mutex_);
    events.swap(outbox_);
  }
  // A plan is handed over when its sequence has no newer report here that wants one, so that late reports count for it.
  std::vector<int64_t> questions(events.size());
  const auto wants_plan_of = [&](size_t i, size_t other) {
    return events[other].kind == kStep && events[other].request == events[i].request && events[other].report->asked;
  };
  for (size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    Napi::HandleScope scope(env);
    if (event.kind != kStep) {
      pass_on(env, dispatch, event);
      continue;
    }
    if (event.report->is_plain()) {
      plain_.clear();
      for (; i < events.size() && events[i].kind == kStep && events[i].report->is_plain(); ++i)
        plain_.push_back({events[i].request, events[i].report.get()});
      --i;
      controller_.report_plain(env, dispatch, kPlainSteps, plain_);
      continue;
    }
    const std::optional<Plan> plan = controller_.report(env, dispatch, kStep, event.request, *event.report);
    int64_t& question = questions[i] = event.report->question;
    for (size_t older = 0; older < i && question == 0; ++older)
      if (wants_plan_of(i, older)) question = questions[older];
    size_t newer = i + 1;
    while (newer < events.size() && !wants_plan_of(i, newer)) ++newer;
    if (newer == events.size() && plan && question != 0) engine_->desk().answer(event.slot, question, *plan);
  }
}

void JsEngine::pass_on(Napi::Env env, napi_value dispatch, const Event& event) {
  napi_value value = env.Undefined();
  switch (event.kind) {
    case kProgress:
      value = Napi::Number::New(env, event.done);
      break;
    case kLoaded:
      loaded_ = true;
      value = to_js(env, *event.loaded);
      break;
    case kLoadFailed:
    case kWordsFailed:
    case kWarning: {
      Napi::Object o = Napi::Object::New(env);
      o["code"] = event.code;
      o["message"] = event.message;
      o["hint"] = event.hint;
      value = o;
      break;
    }
    case kEnd:
      value = to_js(env, *event.result);
      break;
    case kMeasured: {
      Napi::Array array = Napi::Array::New(env, event.ms.size());
      for (uint32_t i = 0; i < event.ms.size(); ++i) array[i] = event.ms[i];
      value = array;
      break;
    }
    case kWorded:
      value = event.make(env);
      break;
    default:
      break;
  }
  const napi_value arguments[3] = {Napi::Number::New(env, event.kind), Napi::Number::New(env, event.request), value};
  napi_value ignored;
  call_quietly(env, dispatch, 3, arguments, &ignored);
  switch (event.kind) {
    case kLoaded:
    case kEnd:
    case kMeasured:
    case kWorded:
    case kWordsFailed:
      release(env);
      break;
    default:
      break;
  }
  if (event.kind == kClosed) finish(env);
}

void JsEngine::hold(Napi::Env env) {
  if (holds_++ == 0) napi_ref_threadsafe_function(env, wake_);
}

void JsEngine::release(Napi::Env env) {
  if (--holds_ == 0) napi_unref_threadsafe_function(env, wake_);
}

void JsEngine::finish(Napi::Env env) {
  closed_ = true;
  engine_->close_and_join();  // the thread has made its last call
  napi_remove_env_cleanup_hook(env, join_engine, engine_.get());
  napi_release_threadsafe_function(wake_, napi_tsfn_release);
  Unref();
}

}  // namespace adaptive_spec
