// Tests of Engine from C++, on tiny models in the folder that ADAPTIVE_SPEC_TINY_MODELS names; no Node
// anywhere.
#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/clock.h"
#include "test/harness.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

using Tokens = std::vector<int32_t>;

std::string model(const std::string& name) {
  const char* folder = std::getenv("ADAPTIVE_SPEC_TINY_MODELS");
  if (!folder)
    throw std::runtime_error("set ADAPTIVE_SPEC_TINY_MODELS to where test/tiny-models.ts wrote them");
  return std::string(folder) + "/" + name + ".gguf";
}

// Opens once; who waits for it that long takes it for never.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(60), [this] { return open_; }))
      throw std::runtime_error("waited 60 s for nothing");
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

// Keeps all that the engine says.
class Recorder : public Listener {
 public:
  // Called on the engine thread with every report. Set before the request that it is for.
  std::function<void(int64_t request, int slot, const StepReport&)> on_report;

  void on_progress(double) override {}
  void on_loaded(LoadedInfo) override {
    tell([&] { loaded_ = true; });
  }
  void on_load_failed(std::string code, std::string, std::string) override {
    tell([&] { load_error_ = code; });
  }
  void on_warning(std::string, std::string) override {
    tell([&] { ++warnings_; });
  }
  void on_step(int64_t request, int slot, StepReport report) override {
    if (on_report) on_report(request, slot, report);
    tell([&] { reports_[request].push_back(std::move(report)); });
  }
  void on_measured(int64_t measurement, std::vector<double> ms) override {
    tell([&] { measured_[measurement] = std::move(ms); });
  }
  void on_end(int64_t request, RequestResult result) override {
    tell([&] { ends_[request].push_back(std::move(result)); });
  }
  void on_closed() override {
    tell([&] { ++closed_; });
  }
  void flush() override {}

  // '' once the engine has loaded, else the error's code.
  std::string wait_until_loaded() {
    wait([this] { return loaded_ || !load_error_.empty(); });
    return load_error_;
  }
  RequestResult wait_for_end(int64_t request) {
    wait([&] { return ends_.contains(request); });
    return ends_[request].front();
  }
  std::vector<double> wait_for_measurement(int64_t measurement) {
    wait([&] { return measured_.contains(measurement); });
    return measured_[measurement];
  }
  void wait_until_closed() {
    wait([this] { return closed_ > 0; });
  }
  std::vector<StepReport> reports(int64_t request) {
    const std::lock_guard lock(mutex_);
    return reports_[request];
  }
  size_t ends(int64_t request) {
    const std::lock_guard lock(mutex_);
    return ends_[request].size();
  }
  int warnings() {
    const std::lock_guard lock(mutex_);
    return warnings_;
  }
  int closed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  bool said_something_after_closed() {
    const std::lock_guard lock(mutex_);
    return late_;
  }

 private:
  template <class Change>
  void tell(Change&& change) {
    const std::lock_guard lock(mutex_);
    late_ |= closed_ > 0;
    change();
    changed_.notify_all();
  }
  template <class Condition>
  void wait(Condition&& condition) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(60), condition))
      throw std::runtime_error("the engine said nothing for 60 s");
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool loaded_ = false, late_ = false;
  int closed_ = 0, warnings_ = 0;
  std::string load_error_;
  std::map<int64_t, std::vector<StepReport>> reports_;
  std::map<int64_t, std::vector<RequestResult>> ends_;
  std::map<int64_t, std::vector<double>> measured_;
};

EngineOptions options(const std::string& target, const std::string& draft = "") {
  EngineOptions o;
  o.model_path = model(target);
  if (!draft.empty()) o.draft_path = model(draft);
  o.context_size = 512;
  o.threads = o.draft_threads = 1;
  o.flash_attention = 0;  // splits the cache in another way for one row than for several
  return o;
}

const char* const kBeginnings[] = {"def hello(x):\n  return", "the world is a", " = 10.10; if x y"};

// A loaded engine and what it says.
class Loaded {
 public:
  explicit Loaded(const EngineOptions& o) : engine(o, heard) {
    const std::string error = heard.wait_until_loaded();
    if (!error.empty()) throw std::runtime_error("loading failed: " + error);
  }

  Request request(const std::string& beginning, int max_tokens, int depth) {
    Request r;
    r.id = ++last_id_;
    r.prompt.resize(beginning.size() + 8);
    r.prompt.resize(llama_tokenize(engine.vocab(), beginning.data(), static_cast<int32_t>(beginning.size()),
                                   r.prompt.data(), static_cast<int32_t>(r.prompt.size()), true, false));
    r.max_tokens = max_tokens;
    r.plan.depth = depth;
    return r;
  }
  RequestResult run(const Request& r) {
    engine.submit(r);
    return heard.wait_for_end(r.id);
  }
  Tokens plain(const std::string& beginning, int max_tokens) {
    return run(request(beginning, max_tokens, 0)).tokens;
  }
  std::string text_of(int64_t request) {
    std::string text;
    for (const StepReport& report : heard.reports(request)) text += report.text;
    return text;
  }

  Recorder heard;
  Engine engine;

 private:
  int64_t last_id_ = 0;
};

// How far apart the target's logits of two tokens are after a text.
double gap(const std::string& path, const Tokens& text, int32_t a, int32_t b) {
  const std::atomic<bool> never = false;
  const ModelHandle target = load_model({.path = path});
  const ThreadPoolHandle pool = make_thread_pool(1);
  Context context(target.get(),
                  {.context_size = 1024, .max_rows = 1, .batch_size = 1024, .flash_attention = 0}, pool.get(),
                  &never);
  for (size_t i = 0; i < text.size(); ++i) context.add(text[i], static_cast<int>(i), 0, i + 1 == text.size());
  REQUIRE(context.decode() == DecodeStatus::kOk);
  const float* logits = context.logits(static_cast<int>(text.size()) - 1);
  return std::abs(logits[a] - logits[b]);
}

// Sums of floats in another order differ by a millionth of the logits' spread of some ten; within that lies a
// tie.
constexpr double kNoise = 1e-4;

void check_same(const Tokens& actual, const Tokens& plain, const Request& request, const std::string& path,
                const std::string& where) {
  const auto [here, there] = std::mismatch(actual.begin(), actual.end(), plain.begin(), plain.end());
  if (here == actual.end() && there == plain.end()) return;
  const std::string token = where + ", token " + std::to_string(here - actual.begin());
  if (here == actual.end() || there == plain.end()) {
    test::fail(__FILE__, __LINE__, token + ": one text ends before the other");
    return;
  }
  Tokens text = request.prompt;
  text.insert(text.end(), actual.begin(), here);
  const double apart = gap(path, text, *here, *there);
  if (apart < kNoise)
    std::printf("  %s: a tie, logits %.1e apart\n", token.c_str(), apart);
  else
    test::fail(__FILE__, __LINE__, token + " differs, and is no tie: " + std::to_string(apart));
}

// --- Exactness.

constexpr int kDepths[] = {1, 2, 3, 5, 8, 16, 24, 32};
constexpr std::pair<const char*, const char*> kPairs[] = {
    {"target", "draft"},    {"target", "draftPerfect"},        {"target", "draftBad"},
    {"target", "draftHot"}, {"targetWithEog", "draftWithEog"}, {"swa", "swaDraft"}};

TEST("engine: every depth and drafter gives the tokens of depth 0") {
  for (const auto& [target, draft] : kPairs) {
    Loaded loaded(options(target, draft));
    int drafted = 0, accepted = 0;
    for (const std::string beginning : kBeginnings) {
      const Tokens plain = loaded.plain(beginning, 120);
      for (int depth : kDepths) {
        const Request request = loaded.request(beginning, 120, depth);
        const RequestResult result = loaded.run(request);
        const std::string where =
            std::string(target) + " with " + draft + " at depth " + std::to_string(depth);
        check_same(result.tokens, plain, request, model(target), where);
        drafted += result.draft_tokens;
        accepted += result.accepted_tokens;
      }
    }
    CHECK(drafted > 0);
    if (draft == std::string("draftPerfect")) CHECK_EQUAL(accepted, drafted);
    if (draft == std::string("draft")) CHECK(accepted > drafted / 10 && accepted < drafted);
  }
}

TEST("engine: at the end of the context every depth stops at the same token") {
  EngineOptions small = options("target", "draft");
  small.context_size = 64;
  Loaded loaded(small);
  const Tokens plain = loaded.plain(kBeginnings[0], 1000);
  for (int depth : kDepths) {
    const Request request = loaded.request(kBeginnings[0], 1000, depth);
    const RequestResult result = loaded.run(request);
    check_same(result.tokens, plain, request, model("target"), "depth " + std::to_string(depth));
    CHECK(result.reason == FinishReason::kLength);
    // The last token stands beside the cache, not in it.
    CHECK_EQUAL(request.prompt.size() + result.tokens.size(), 65u);
  }
}

TEST("engine: every limit of length is met exactly, at every depth") {
  Loaded loaded(options("target", "draftPerfect"));
  for (int depth : {0, 1, 4, 32})
    for (int limit : {1, 2, 3, 5, 6, 33, 34}) {
      const Request request = loaded.request(kBeginnings[1], limit, depth);
      const RequestResult result = loaded.run(request);
      CHECK_EQUAL(static_cast<int>(result.tokens.size()), limit);
      CHECK(result.reason == FinishReason::kLength);
    }
}

TEST("engine: a stop string in the middle of a draft ends the text where it does at depth 0") {
  Loaded loaded(options("target", "draftPerfect"));
  Request request = loaded.request(kBeginnings[0], 120, 0);
  const Tokens all = loaded.run(request).tokens;
  const std::string whole = loaded.text_of(request.id);
  for (size_t at : {whole.size() / 4, whole.size() / 2, whole.size() * 3 / 4}) {
    while ((whole[at] & 0xC0) == 0x80) ++at;
    const std::string stop = whole.substr(at, 3);
    request = loaded.request(kBeginnings[0], 120, 0);
    request.stops = {stop, "never said"};
    const Tokens plain = loaded.run(request).tokens;
    CHECK(plain.size() < all.size());
    for (int depth : kDepths) {
      request.id += 1000;
      request.plan.depth = depth;
      const RequestResult result = loaded.run(request);
      check_same(result.tokens, plain, request, model("target"), "depth " + std::to_string(depth));
      CHECK(result.reason == FinishReason::kStop);
      CHECK_EQUAL(result.stop_string, stop);
      CHECK_EQUAL(loaded.text_of(request.id), whole.substr(0, whole.find(stop)));
    }
  }
}

TEST("engine: one seed gives one text, at every depth") {
  Loaded loaded(options("target", "draft"));
  Request request = loaded.request(kBeginnings[1], 100, 0);
  request.sampling = {.temperature = 0.9f, .top_k = 40, .seed = 4};
  const Tokens plain = loaded.run(request).tokens;
  for (int depth : kDepths) {
    request.id += 1000;
    request.plan.depth = depth;
    CHECK_EQUAL(loaded.run(request).tokens, plain);
  }
  request.id += 1000;
  request.sampling.seed = 5;
  CHECK(loaded.run(request).tokens != plain);
}

TEST("engine: reports add up to the result") {
  Loaded loaded(options("target", "draft"));
  Request request = loaded.request(kBeginnings[2], 100, 6);
  const RequestResult result = loaded.run(request);
  const std::vector<StepReport> reports = loaded.heard.reports(request.id);
  Tokens tokens;
  int drafted = 0, accepted = 0;
  for (const StepReport& report : reports) {
    tokens.insert(tokens.end(), report.tokens.begin(), report.tokens.end());
    drafted += report.drafted;
    accepted += report.accepted;
    CHECK_EQUAL(report.position, static_cast<int>(tokens.size()));
    CHECK_EQUAL(static_cast<int>(report.signals.size()), report.drafted);
    CHECK_EQUAL(static_cast<int>(report.draft_tokens.size()), report.drafted);
    CHECK_EQUAL(report.verified, report.drafted);
    CHECK(report.last == (&report == &reports.back()));
    if (report.step > 0 && !report.last)
      CHECK_EQUAL(static_cast<int>(report.tokens.size()), report.accepted + 1);
  }
  CHECK_EQUAL(tokens, result.tokens);
  CHECK_EQUAL(drafted, result.draft_tokens);
  CHECK_EQUAL(accepted, result.accepted_tokens);
  CHECK_EQUAL(static_cast<int>(reports.size()), result.steps + 1);
}

// --- Several sequences.

TEST("engine: sequences side by side give the tokens that each gives alone") {
  EngineOptions two = options("target", "draft");
  two.parallel = 2;
  Loaded alone(options("target", "draft")), together(two);
  for (int depth : {0, 4, 16}) {
    std::vector<Request> requests;
    for (const std::string beginning : kBeginnings) {  // one more than fit at once
      requests.push_back(
          together.request(beginning, 150, depth == 4 ? 2 + static_cast<int>(requests.size()) : depth));
      together.engine.submit(requests.back());
    }
    for (size_t i = 0; i < requests.size(); ++i)
      check_same(together.heard.wait_for_end(requests[i].id).tokens, alone.plain(kBeginnings[i], 150),
                 requests[i], model("target"), "sequence " + std::to_string(i));
  }
}

// --- Aborts and ends. The engine thread is held at a report, so that these don't hang on who is faster.

// Lets the test do something while `request` is known to be in the middle of its text.
class HeldAt {
 public:
  HeldAt(Recorder& heard, int64_t request, int step) {
    // The gates are the report's too: the engine may stand there when a failed test leaves.
    heard.on_report = [reached = reached_, released = released_, request, step](int64_t id, int,
                                                                                const StepReport& report) {
      if (id != request || report.step != step) return;
      reached->open();
      released->pass();
    };
  }
  ~HeldAt() { release(); }
  void wait() { reached_->pass(); }
  void release() { released_->open(); }

 private:
  const std::shared_ptr<Gate> reached_ = std::make_shared<Gate>(), released_ = std::make_shared<Gate>();
};

TEST("engine: an abort from another thread ends its request, and the next one has the right tokens") {
  Loaded loaded(options("target", "draft"));
  const Tokens plain = loaded.plain(kBeginnings[0], 300);
  for (int depth : {0, 8})
    for (int step : {0, 1, 5}) {
      const Request request = loaded.request(kBeginnings[0], 300, depth);
      HeldAt held(loaded.heard, request.id, step);
      loaded.engine.submit(request);
      held.wait();
      std::thread other([&] { loaded.engine.abort(request.id); });
      other.join();
      held.release();
      const RequestResult result = loaded.heard.wait_for_end(request.id);
      CHECK(result.reason == FinishReason::kAborted);
      CHECK(result.tokens.size() < plain.size());
      CHECK(std::equal(result.tokens.begin(), result.tokens.end(), plain.begin()));
      loaded.heard.on_report = nullptr;
      const Request next = loaded.request(kBeginnings[1], 60, depth);
      check_same(loaded.run(next).tokens, loaded.plain(kBeginnings[1], 60), next, model("target"),
                 "after abort");
      CHECK_EQUAL(loaded.heard.ends(request.id), 1u);
    }
}

TEST("engine: an abort leaves its neighbour's text as it is") {
  EngineOptions two = options("target", "draft");
  two.parallel = 2;
  Loaded loaded(two);
  const Tokens plain = loaded.plain(kBeginnings[1], 150);
  for (int step : {1, 4}) {
    const Request gone = loaded.request(kBeginnings[0], 300, 5),
                  stays = loaded.request(kBeginnings[1], 150, 3);
    HeldAt held(loaded.heard, gone.id, step);
    loaded.engine.submit(gone);
    loaded.engine.submit(stays);
    held.wait();
    loaded.engine.abort(gone.id);
    held.release();
    CHECK(loaded.heard.wait_for_end(gone.id).reason == FinishReason::kAborted);
    check_same(loaded.heard.wait_for_end(stays.id).tokens, plain, stays, model("target"), "the neighbour");
  }
}

TEST("engine: measurements of target, draft and sampling give a time each, and leave later texts as they are") {
  using Kind = Measurement::Kind;
  for (const char* draft : {"", "draft", "draftHot"}) {
    Loaded loaded(options("target", draft));
    const Tokens before = loaded.run(loaded.request(kBeginnings[0], 30, 4)).tokens;
    struct {
      Measurement measurement;
      size_t times;
    } const cases[] = {
        {{.id = 101, .kind = Kind::kTarget, .rows = {1, 1, 9}, .repeats = 3}, 9},
        {{.id = 102, .kind = Kind::kTarget, .rows = {5}, .context = 100, .repeats = 2}, 2},
        {{.id = 103, .kind = Kind::kDraft, .rows = {8}, .repeats = 3}, *draft ? 3u : 0u},
        {{.id = 104, .kind = Kind::kDraft, .rows = {1}, .context = 100, .repeats = 2}, *draft ? 2u : 0u},
        // Ends at the context's end: no draft of that length can be timed.
        {{.id = 105, .kind = Kind::kDraft, .rows = {8}, .context = 508, .repeats = 2}, 0},
        {{.id = 106, .kind = Kind::kSampling, .repeats = 4}, 4},
    };
    for (const auto& [measurement, times] : cases) {
      loaded.engine.measure(measurement);
      const std::vector<double> ms = loaded.heard.wait_for_measurement(measurement.id);
      CHECK(ms.size() == times);
      for (const double one : ms) CHECK(one >= 0);
    }
    CHECK(loaded.run(loaded.request(kBeginnings[0], 30, 4)).tokens == before);
  }
}

TEST("engine: a request that waits for its turn can be aborted, and one that is gone does no harm") {
  Loaded loaded(options("target", "draft"));
  const Request first = loaded.request(kBeginnings[0], 50, 3), second = loaded.request(kBeginnings[1], 50, 3);
  {
    HeldAt held(loaded.heard, first.id, 1);
    loaded.engine.submit(first);
    held.wait();
    loaded.engine.submit(second);
    loaded.engine.abort(second.id);
    held.release();
    CHECK(loaded.heard.wait_for_end(second.id).reason == FinishReason::kAborted);
    CHECK(loaded.heard.wait_for_end(second.id).tokens.empty());
    CHECK_EQUAL(loaded.heard.wait_for_end(first.id).tokens.size(), 50u);
  }
  loaded.heard.on_report = nullptr;
  loaded.engine.abort(first.id);
  loaded.engine.abort(9999);
  CHECK_EQUAL(loaded.plain(kBeginnings[0], 40).size(), 40u);
}

// Aborts at any moment: within a decode, too, which takes the step back.
TEST("engine: aborts at random moments never change what comes after") {
  Loaded loaded(options("target", "draft"));
  const Tokens plain = loaded.plain(kBeginnings[0], 200);
  test::Random random(1);
  int aborted = 0;
  for (int i = 0; i < 60; ++i) {
    const Request request = loaded.request(kBeginnings[0], 200, random.below(10));
    loaded.engine.submit(request);
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(20'000)));
    loaded.engine.abort(request.id);
    const RequestResult result = loaded.heard.wait_for_end(request.id);
    aborted += result.reason == FinishReason::kAborted;
    CHECK(result.error_message.empty());
    Tokens so_far(plain.begin(), plain.begin() + std::min(plain.size(), result.tokens.size()));
    check_same(result.tokens, so_far, request, model("target"), "aborted");
  }
  CHECK(aborted > 5);
}

TEST("engine: a close in mid-generation gives every request one end, and nothing is said after it") {
  EngineOptions two = options("target", "draft");
  two.parallel = 2;
  Loaded loaded(two);
  std::vector<Request> requests;
  for (const std::string beginning : kBeginnings) requests.push_back(loaded.request(beginning, 400, 4));
  HeldAt held(loaded.heard, requests[0].id, 3);
  for (const Request& request : requests) loaded.engine.submit(request);
  held.wait();
  loaded.engine.close();
  held.release();
  loaded.heard.wait_until_closed();
  for (const Request& request : requests) {
    CHECK_EQUAL(loaded.heard.ends(request.id), 1u);
    CHECK(loaded.heard.wait_for_end(request.id).reason == FinishReason::kAborted);
  }
  loaded.engine.close();
  loaded.engine.abort(requests[0].id);
  std::thread other([&] { loaded.engine.close_and_join(); });
  loaded.engine.close_and_join();
  other.join();
  CHECK_EQUAL(loaded.heard.closed(), 1);
  CHECK(!loaded.heard.said_something_after_closed());
}

TEST("engine: one that is destroyed while it loads or generates ends cleanly") {
  for (int i = 0; i < 5; ++i) {
    Recorder heard;
    Engine engine(options("target", "draft"), heard);
    std::this_thread::sleep_for(std::chrono::microseconds(700 * i));
  }
  Recorder heard;
  {
    Engine engine(options("target", "draft"), heard);
    heard.wait_until_loaded();
    Request request;
    request.id = 1;
    request.prompt = {65, 66, 67};
    request.max_tokens = 400;
    engine.submit(request);
  }
  CHECK_EQUAL(heard.ends(1), 1u);
  CHECK_EQUAL(heard.closed(), 1);
}

TEST("engine: a model that can't be loaded is told, and requests that wait for it end") {
  const std::pair<EngineOptions, const char*> cases[] = {
      {options("no such file"), "MODEL_INVALID"},
      {options("target", "no such file"), "MODEL_INVALID"},
      {options("target", "draftTooBig"), "VOCAB_MISMATCH"}};
  for (const auto& [wrong, code] : cases) {
    Recorder heard;
    Engine engine(wrong, heard);
    Request request;
    request.id = 1;
    request.prompt = {65};
    request.max_tokens = 5;
    engine.submit(request);  // before or after the failure
    CHECK_EQUAL(heard.wait_until_loaded(), code);
    heard.wait_until_closed();
    if (heard.ends(1) > 0) CHECK(heard.wait_for_end(1).reason == FinishReason::kAborted);
  }
}

// --- Trees.

// With our attention, since trees need it.
EngineOptions tree_options(const std::string& target, const std::string& draft) {
  EngineOptions o = options(target, draft);
  o.flash_attention = -1;
  o.branches = 5;
  return o;
}

TEST("engine: every tree gives the tokens of plain decoding") {
  for (const auto& [target, draft] : kPairs) {
    if (target == std::string("swa")) continue;
    EngineOptions chains = tree_options(target, draft);
    chains.branches = 0;
    Loaded loaded(tree_options(target, draft)), without(chains);
    test::Random random(3);
    int hung = 0, right = 0;
    for (const std::string beginning : kBeginnings) {
      // Past several chunks of cells, and past where the cache's padding grows.
      const Tokens plain = loaded.plain(beginning, 440);
      CHECK_EQUAL(plain, without.plain(beginning, 440));
      for (int i = 0; i < 12; ++i) {
        Request request = loaded.request(beginning, 440, 1 + random.below(8));
        request.plan.tree_nodes = 2 + random.below(14);
        request.plan.branches = 1 + random.below(7);
        request.plan.drafter = random.below(3);  // model, n-grams or both
        const RequestResult result = loaded.run(request);
        CHECK_EQUAL(result.tokens, plain);
        hung += result.beside_tokens;
        right += result.beside_accepted;
      }
    }
    CHECK(hung > 0);
    if (draft == std::string("draft")) CHECK(right > 20);
  }
}

TEST("engine: one seed gives one text, whatever the tree") {
  Loaded loaded(tree_options("target", "draft"));
  for (float temperature : {0.5f, 1.0f}) {
    Request request = loaded.request(kBeginnings[1], 200, 0);
    request.sampling = {.temperature = temperature, .top_k = 40, .seed = 4};
    const Tokens plain = loaded.run(request).tokens;
    for (int drafter : {0, 1, 2}) {
      int right = 0;
      for (int nodes : {2, 4, 7, 15}) {
        request.id += 1000;
        request.plan.depth = nodes / 2;
        request.plan.tree_nodes = nodes;
        request.plan.drafter = drafter;
        const RequestResult result = loaded.run(request);
        CHECK_EQUAL(result.tokens, plain);
        right += result.beside_accepted;
      }
      if (drafter != 1) CHECK(right > 0);
    }
  }
}

TEST("engine: trees of requests that share a cache give the tokens that each gives alone") {
  EngineOptions three = tree_options("target", "draft");
  three.parallel = 3;
  Loaded alone(tree_options("target", "draft")), together(three);
  int right = 0;
  for (int nodes : {3, 9}) {
    std::vector<Request> requests;
    for (const std::string beginning : kBeginnings) {
      requests.push_back(together.request(beginning, 150, 1 + static_cast<int>(requests.size())));
      requests.back().plan.tree_nodes = nodes;
      requests.back().plan.drafter = nodes == 3 ? 0 : 2;
      together.engine.submit(requests.back());
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      const RequestResult result = together.heard.wait_for_end(requests[i].id);
      check_same(result.tokens, alone.plain(kBeginnings[i], 150), requests[i], model("target"),
                 "tree " + std::to_string(i));
      right += result.beside_accepted;
    }
  }
  CHECK(right > 0);
}

TEST("engine: a tree at the end of the context or at a limit of length") {
  EngineOptions small = tree_options("target", "draft");
  small.context_size = 64;
  Loaded loaded(small);
  const Tokens plain = loaded.plain(kBeginnings[0], 1000);
  for (int depth : kDepths)
    for (int limit : {1, 2, 5, 1000}) {
      Request request = loaded.request(kBeginnings[0], limit, depth);
      request.plan.tree_nodes = 32;
      const RequestResult result = loaded.run(request);
      const size_t expected = std::min<size_t>(limit, plain.size());
      CHECK_EQUAL(result.tokens, Tokens(plain.begin(), plain.begin() + expected));
    }
}

TEST("engine: more branches than a tree can have nodes are no harm") {
  EngineOptions few = tree_options("target", "draft");
  few.max_depth = 1;
  Loaded loaded(few);
  Request request = loaded.request(kBeginnings[0], 60, 1);
  request.plan.tree_nodes = 9;
  CHECK_EQUAL(loaded.run(request).tokens, loaded.plain(kBeginnings[0], 60));
}

TEST("engine: aborts in the middle of trees never change what comes after") {
  Loaded loaded(tree_options("target", "draft"));
  const Tokens plain = loaded.plain(kBeginnings[0], 200);
  test::Random random(2);
  int aborted = 0;
  for (int i = 0; i < 60; ++i) {
    Request request = loaded.request(kBeginnings[0], 200, 1 + random.below(6));
    request.plan.tree_nodes = 12;
    request.plan.drafter = i % 3;
    loaded.engine.submit(request);
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(20'000)));
    loaded.engine.abort(request.id);
    const RequestResult result = loaded.heard.wait_for_end(request.id);
    aborted += result.reason == FinishReason::kAborted;
    CHECK(result.error_message.empty());
    CHECK(std::equal(result.tokens.begin(), result.tokens.end(), plain.begin()));
  }
  CHECK(aborted > 5);
}

TEST("engine: reports of trees add up to the result") {
  Loaded loaded(tree_options("target", "draft"));
  int most_again = 0;
  for (int drafter : {0, 1, 2}) {
    int below = 0;
    for (const std::string beginning : kBeginnings) {
      Request request = loaded.request(beginning, 300, 5);
      request.plan.tree_nodes = 14;
      request.plan.drafter = drafter;
      const RequestResult result = loaded.run(request);
      Tokens tokens;
      int hung = 0, right = 0, again = 0;
      for (const StepReport& report : loaded.heard.reports(request.id)) {
        tokens.insert(tokens.end(), report.tokens.begin(), report.tokens.end());
        const int beside = static_cast<int>(report.beside_tokens.size());
        hung += beside;
        right += report.beside_accepted;
        CHECK_EQUAL(report.beside_parents.size(), report.beside_tokens.size());
        CHECK_EQUAL(report.beside_probabilities.size(), report.beside_tokens.size());
        CHECK(report.verified + beside <= 14);
        for (int i = 0; i < beside; ++i) {
          // A parent is a token of the draft, or one that is listed before.
          const int parent = report.beside_parents[i];
          CHECK(parent >= -1 && parent < report.verified + i);
          below += parent >= report.verified;
          if (parent >= report.verified)
            CHECK(report.beside_probabilities[i] <= report.beside_probabilities[parent - report.verified]);
        }
        if (report.step == 0) continue;
        // Tokens that were accepted beside the chain are read again.
        CHECK_EQUAL(report.rows, report.verified + 1 + beside + again);
        again = report.beside_accepted;
        most_again = std::max(most_again, again);
        if (!report.last)
          CHECK_EQUAL(static_cast<int>(report.tokens.size()), report.accepted + report.beside_accepted + 1);
      }
      CHECK_EQUAL(tokens, result.tokens);
      CHECK_EQUAL(tokens, loaded.plain(beginning, 300));
      CHECK_EQUAL(hung, result.beside_tokens);
      CHECK_EQUAL(right, result.beside_accepted);
      if (drafter != 1) CHECK(right > 0);
    }
    CHECK(below > 100);
  }
  CHECK(most_again >= 3);
}

TEST("engine: what can't branch drafts chains, and says so once") {
  const std::pair<const char*, const char*> pairs[] = {{"swa", "swaDraft"}, {"recurrent", "draft"}, {"target", "draft"}};
  for (const auto& [target, draft] : pairs) {
    EngineOptions o = tree_options(target, draft);
    if (target == std::string("target")) o.kernels = "ggml";
    Loaded loaded(o);
    CHECK_EQUAL(loaded.heard.warnings(), 1);
    const Tokens plain = loaded.plain(kBeginnings[0], 60);
    Request request = loaded.request(kBeginnings[0], 60, 3);
    request.plan.tree_nodes = 8;
    const RequestResult result = loaded.run(request);
    CHECK_EQUAL(result.beside_tokens, 0);
    check_same(result.tokens, plain, request, model(target), target);
  }
  EngineOptions chains = options("target", "draft");
  CHECK_EQUAL(Loaded(chains).heard.warnings(), 0);
}

// --- Bad rows.

void check_bad_logits(const RequestResult& result) {
  CHECK(result.reason == FinishReason::kError);
  CHECK_EQUAL(result.error_code, "BAD_LOGITS");
  CHECK(!result.error_message.empty() && !result.error_hint.empty());
  CHECK(result.tokens.empty());
}

TEST("engine: logits of NaN end their request with BAD_LOGITS, and the next one has the right tokens") {
  Loaded loaded(options("targetNan", "draft"));
  const Tokens plain = loaded.plain(kBeginnings[0], 80);
  for (int depth : {0, 1, 8})
    for (float temperature : {0.0f, 0.8f}) {
      Request bad = loaded.request("the ~ world", 40, depth);
      bad.sampling.temperature = temperature;
      check_bad_logits(loaded.run(bad));
      CHECK(loaded.heard.reports(bad.id).back().last);
      const Request next = loaded.request(kBeginnings[0], 80, depth);
      check_same(loaded.run(next).tokens, plain, next, model("targetNan"), "after a bad row");
    }
}

TEST("engine: beside a request with bad logits the others get an answer, and later ones their tokens") {
  EngineOptions two = options("targetNan", "draft");
  two.parallel = 2;
  Loaded loaded(two);
  const Tokens plain = loaded.plain(kBeginnings[1], 100);
  for (int depth : {0, 4}) {
    const Request neighbour = loaded.request(kBeginnings[1], 100, depth), bad = loaded.request("a ~", 40, depth),
                  waiting = loaded.request(kBeginnings[1], 100, depth);
    for (const Request& request : {neighbour, bad, waiting}) loaded.engine.submit(request);
    check_bad_logits(loaded.heard.wait_for_end(bad.id));
    const RequestResult beside = loaded.heard.wait_for_end(neighbour.id);
    // Sequences share a cache, so that NaN may reach it; wrong tokens may not.
    if (beside.reason == FinishReason::kError) CHECK_EQUAL(beside.error_code, "BAD_LOGITS");
    CHECK(std::equal(beside.tokens.begin(), beside.tokens.end(), plain.begin()));
    check_same(loaded.heard.wait_for_end(waiting.id).tokens, plain, waiting, model("targetNan"), "who waited");
  }
}

TEST("engine: logits of NaN in the draft end the draft, not the request, and later requests are drafted again") {
  Loaded loaded(options("target", "draftNan"));
  for (int depth : {1, 6})
    for (int i = 0; i < 2; ++i) {
      const Request bad = loaded.request("the ~ world", 60, depth);
      const RequestResult result = loaded.run(bad);
      check_same(result.tokens, loaded.plain("the ~ world", 60), bad, model("target"), "a bad draft");
      CHECK(result.reason == FinishReason::kLength);
      CHECK_EQUAL(result.draft_tokens, 0);
      const Request next = loaded.request(kBeginnings[1], 60, depth);
      const RequestResult drafted = loaded.run(next);
      check_same(drafted.tokens, loaded.plain(kBeginnings[1], 60), next, model("target"), "after a bad draft");
      CHECK(drafted.accepted_tokens > 0);
    }
}

// --- Plans.

EngineOptions patient_options() {
  EngineOptions patient = options("target", "draft");
  patient.plan_deadline_ms = 20'000;
  return patient;
}

// Any plan: all that it can ask for, in all combinations.
Plan random_plan(test::Random& random) {
  Plan plan{.depth = random.below(20), .drafter = random.below(4) - 1, .steps = 1 + random.below(4)};
  if (random.uniform() < 0.3) plan.verify = random.below(8);
  StopRule& stop = plan.stop;
  if (random.uniform() < 0.3) stop.min_probability = 0.5 * random.uniform();
  if (random.uniform() < 0.3) stop.max_entropy = 3 * random.uniform();
  if (random.uniform() < 0.3) stop.min_survival = 0.3 * random.uniform();
  stop.keep = random.uniform() < 0.3;
  if (random.uniform() < 0.5) {
    stop.acceptance = {.bias = random.uniform(), .logit = random.uniform(), .is_drafters_own = false};
    stop.min_acceptance = 0.3 * random.uniform();
  }
  if (random.uniform() < 0.5) {
    plan.trim = random.uniform() < 0.7;
    stop.tokens_per_ms = 0.05 + random.uniform();
    stop.draft_ms = 0.2 * random.uniform();
    stop.start_ms = 0.3 * random.uniform();
    stop.rebuild_ms = 0.3 * random.uniform();
    stop.ahead = random.uniform();
    stop.curve = 10;
    for (int i = 0; i < stop.curve; ++i) stop.verify_ms[i] = 2 + 0.2 * i + (i >= 4 ? random.uniform() : 0);
  }
  return plan;
}

// Answers questions on a thread of its own, as JavaScript would.
class Answerer {
 public:
  // `answer` may take its time; nothing: no answer.
  Answerer(Loaded& loaded, std::function<std::optional<Plan>(int64_t question)> answer)
      : thread_([this, &loaded, answer = std::move(answer)] {
          while (const auto asked = next())
            if (const std::optional<Plan> plan = answer(asked->question))
              loaded.engine.desk().answer(asked->slot, asked->question, *plan);
        }) {
    heard_ = &loaded.heard;
    heard_->on_report = [this](int64_t, int slot, const StepReport& report) {
      if (report.question == 0) return;
      const std::lock_guard lock(mutex_);
      open_.push_back({slot, report.question});
      changed_.notify_one();
    };
  }
  ~Answerer() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
      changed_.notify_one();
    }
    thread_.join();
  }

 private:
  struct Asked {
    int slot;
    int64_t question;
  };
  std::optional<Asked> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return over_ || !open_.empty(); });
    if (open_.empty()) return std::nullopt;
    const Asked asked = open_.front();
    open_.pop_front();
    return asked;
  }

  Recorder* heard_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Asked> open_;
  bool over_ = false;
  std::thread thread_;
};

TEST("engine: plans from another thread set the next step's depth, and the text is that of depth 0") {
  EngineOptions patient = patient_options();
  patient.parallel = 2;
  Loaded loaded(patient);
  const Tokens plain[] = {loaded.plain(kBeginnings[0], 150), loaded.plain(kBeginnings[1], 150)};
  std::mutex mutex;
  std::map<int64_t, Plan> answers;
  test::Random random(2);
  Answerer answerer(loaded, [&](int64_t question) {
    Plan plan{.depth = random.below(20)};
    plan.stop.min_probability = random.uniform() < 0.5 ? 0 : 0.4;
    const std::lock_guard lock(mutex);
    return answers[question] = plan;
  });
  Request requests[] = {loaded.request(kBeginnings[0], 150, 0), loaded.request(kBeginnings[1], 150, 0)};
  for (Request& request : requests) {
    request.asks = true;
    loaded.engine.submit(request);
  }
  for (int i = 0; i < 2; ++i) {
    const RequestResult result = loaded.heard.wait_for_end(requests[i].id);
    check_same(result.tokens, plain[i], requests[i], model("target"), "planned");
    CHECK_EQUAL(result.late_plans, 0);
    CHECK(result.draft_tokens > 0);
    const std::vector<StepReport> reports = loaded.heard.reports(requests[i].id);
    const std::lock_guard lock(mutex);
    for (size_t step = 0; step + 1 < reports.size(); ++step) {
      CHECK(reports[step].question != 0);
      CHECK_EQUAL(reports[step + 1].depth, answers[reports[step].question].depth);
      for (const Signals& token : reports[step + 1].signals)
        CHECK(token.probability >= answers[reports[step].question].stop.min_probability);
    }
    CHECK_EQUAL(reports.back().question, 0);  // nobody is asked after the last step
  }
}

TEST("engine: a plan that trims verifies less than it drafts, and the text is that of depth 0") {
  Loaded loaded(patient_options());
  const Tokens plain = loaded.plain(kBeginnings[1], 150);
  test::Random random(7);
  std::mutex mutex;
  std::map<int64_t, Plan> answers;
  Answerer answerer(loaded, [&](int64_t question) {
    const std::lock_guard lock(mutex);
    return answers[question] = random_plan(random);
  });
  Request request = loaded.request(kBeginnings[1], 150, 0);
  request.asks = true;
  loaded.engine.submit(request);
  const RequestResult result = loaded.heard.wait_for_end(request.id);
  check_same(result.tokens, plain, request, model("target"), "trimmed");
  CHECK(result.verified_tokens < result.draft_tokens);
  CHECK(result.verified_tokens >= result.accepted_tokens);
  const std::vector<StepReport> reports = loaded.heard.reports(request.id);
  const std::lock_guard lock(mutex);
  const Plan* plan = nullptr;
  const Plan* next = nullptr;  // asked for while `plan` holds for a step more
  int holds = 0;
  for (size_t i = 0; i + 1 < reports.size(); ++i) {
    const bool asks = next == nullptr && holds <= 1;
    CHECK_EQUAL(reports[i].question != 0, asks);
    CHECK_EQUAL(reports[i].asked, asks);
    if (asks) next = &answers[reports[i].question];
    if (holds == 0) {
      plan = std::exchange(next, nullptr);
      holds = plan->steps;
    }
    --holds;
    const StepReport& step = reports[i + 1];
    CHECK_EQUAL(step.depth, plan->depth);
    CHECK_EQUAL(step.rows, step.verified + 1);
    const int most = std::min(step.drafted, plan->verify);
    const std::span<const Signals> signals(step.signals.data(), most);
    CHECK_EQUAL(step.verified, plan->trim ? plan->stop.trimmed(signals, reports[i].rows) : most);
  }
}

TEST("engine: a plan that only looks drafts at every position what would have been right there") {
  Loaded loaded(patient_options());
  const Tokens plain = loaded.plain(kBeginnings[0], 60);
  Answerer answerer(loaded, [&](int64_t) { return Plan{.depth = 8, .steps = 256, .verify = 0}; });
  Request request = loaded.request(kBeginnings[0], 60, 0);
  request.asks = true;
  loaded.engine.submit(request);
  const RequestResult result = loaded.heard.wait_for_end(request.id);
  check_same(result.tokens, plain, request, model("target"), "looked at");
  const std::vector<StepReport> reports = loaded.heard.reports(request.id);
  CHECK_EQUAL(reports.size(), plain.size() + 1);
  // At depth 8 the same draft starts at the same place.
  const Tokens first = reports[1].draft_tokens;
  Request deep = loaded.request(kBeginnings[0], 60, 8);
  loaded.engine.submit(deep);
  loaded.heard.wait_for_end(deep.id);
  CHECK_EQUAL(loaded.heard.reports(deep.id)[1].draft_tokens, first);
  for (size_t i = 1; i < reports.size(); ++i) {
    CHECK_EQUAL(reports[i].verified, 0);
    CHECK_EQUAL(reports[i].tokens.size(), size_t{1});
    CHECK_EQUAL(reports[i].drafted, std::min<int>(8, static_cast<int>(plain.size() - i)));
  }
}

// What the drafter named in a plan may have made.
void check_origins(const StepReport& report, const char* drafter) {
  for (const Signals& signals : report.signals) {
    if (drafter == std::string("model")) CHECK(signals.origin == Origin::kModel);
    if (drafter == std::string("ngram")) CHECK(signals.origin == Origin::kNgram);
  }
}

TEST("engine: plans that change drafters at random leave the tokens those of depth 0, also side by side") {
  constexpr const char* kNames[] = {"model", "ngram", "hybrid"};
  for (const auto& [target, draft] :
       {std::pair{"target", "draft"}, {"targetWithEog", "draftWithEog"}, {"target", "draftHot"}, {"swa", "swaDraft"}, {"target", ""}})
    for (const int parallel : {1, 3}) {
      EngineOptions o = options(target, draft);
      o.plan_deadline_ms = 20'000;
      Loaded alone(o);
      o.parallel = parallel;
      o.batch_size = 16;
      Loaded loaded(o);
      test::Random random(parallel);
      std::mutex mutex;
      std::map<int64_t, Plan> answers;
      Answerer answerer(loaded, [&](int64_t question) {
        // Late enough for a first token to be drafted ahead.
        if (question % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        const std::lock_guard lock(mutex);
        return answers[question] = random_plan(random);
      });
      std::vector<Request> requests;
      for (int i = 0; i < 4; ++i) {
        requests.push_back(loaded.request(kBeginnings[i % 3], 100, 0));
        requests.back().asks = true;
        requests.back().ignore_eos = i == 3;
        requests.back().plan.drafter = i % 3;
        loaded.engine.submit(requests.back());
      }
      int ahead = 0;
      std::map<std::string, int> drafted;
      for (Request& request : requests) {
        const RequestResult result = loaded.heard.wait_for_end(request.id);
        ahead += result.overlapped_drafts;
        Request plain = request;
        plain.id += 1000;
        plain.asks = false;
        plain.plan = {};
        check_same(result.tokens, alone.run(plain).tokens, request, model(target),
                   std::string(target) + " with " + draft + ", " + std::to_string(parallel) + " at a time");
        const Plan* plan = nullptr;
        const Plan* next = nullptr;  // asked for while `plan` holds for a step more
        for (const StepReport& report : loaded.heard.reports(request.id)) {
          if (plan && report.drafted > 0) {
            const int named = plan->drafter < 0 ? request.plan.drafter : plan->drafter;
            const int known = draft == std::string() ? 0 : std::min(named, 2);
            CHECK_EQUAL(report.drafter, known);
            const char* const name = draft == std::string() ? "ngram" : kNames[known];
            check_origins(report, name);
            drafted[name] += report.drafted;
          }
          const std::lock_guard lock(mutex);
          if (next) plan = std::exchange(next, nullptr);
          if (report.question != 0) (plan && plan->steps > 1 ? next : plan) = &answers[report.question];
        }
      }
      CHECK(ahead > 0);
      for (const char* name : kNames) CHECK((drafted[name] > 0) == (draft != std::string() || name == kNames[1]));
    }
}

TEST("engine: a plan that names another drafter gets its whole draft, though that of the last plan had found nothing") {
  Loaded loaded(patient_options());
  std::mutex mutex;
  std::map<int64_t, int> drafters;
  int next = 0;
  Answerer answerer(loaded, [&](int64_t question) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const std::lock_guard lock(mutex);
    return Plan{.depth = 4, .drafter = drafters[question] = next++ % 2};
  });
  Request request = loaded.request(kBeginnings[1], 60, 0);
  request.asks = true;
  loaded.engine.submit(request);
  loaded.heard.wait_for_end(request.id);
  int empty = 0, position = 0, drafter = -1;
  for (const StepReport& report : loaded.heard.reports(request.id)) {
    if (drafter == 0) CHECK_EQUAL(report.drafted, std::min(4, 60 - position - 1));
    empty += drafter == 1 && report.drafted == 0;
    position = report.position;
    const std::lock_guard lock(mutex);
    drafter = report.question == 0 ? -1 : drafters[report.question];
  }
  CHECK(empty > 0);
}

TEST("engine: a stop rule holds for a draft that was started while a neighbour's plan was awaited") {
  EngineOptions two = patient_options();
  two.parallel = 2;
  Loaded loaded(two);
  Answerer answerer(loaded, [&](int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return Plan{.depth = 4};
  });
  Request asking = loaded.request(kBeginnings[0], 120, 0), holding = loaded.request(kBeginnings[1], 120, 6);
  asking.asks = true;
  holding.plan.stop.min_survival = 0.6;
  loaded.engine.submit(asking);
  loaded.engine.submit(holding);
  loaded.heard.wait_for_end(asking.id);
  loaded.heard.wait_for_end(holding.id);
  int drafted = 0;
  for (const StepReport& report : loaded.heard.reports(holding.id)) {
    double survival = 1;
    for (const Signals& signals : report.signals) survival *= signals.probability;
    CHECK(survival >= 0.6);
    drafted += report.drafted;
  }
  CHECK(drafted > 0);
}

TEST("engine: a kept token is the last of its draft, drafted ahead or not") {
  Loaded loaded(patient_options());
  const Tokens plain = loaded.plain(kBeginnings[0], 150);
  Answerer answerer(loaded, [&](int64_t question) {
    if (question % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    Plan plan{.depth = 8};
    plan.stop.min_probability = 0.5;
    plan.stop.keep = true;
    return plan;
  });
  Request request = loaded.request(kBeginnings[0], 150, 0);
  request.asks = true;
  loaded.engine.submit(request);
  const RequestResult result = loaded.heard.wait_for_end(request.id);
  check_same(result.tokens, plain, request, model("target"), "kept");
  CHECK(result.overlapped_drafts > 0);
  CHECK_EQUAL(result.wasted_drafts, 0);
  int doubtful_first = 0, position = 0;
  for (const StepReport& report : loaded.heard.reports(request.id)) {
    for (int i = 0; i < report.drafted; ++i)
      if (i + 1 < report.drafted) CHECK(report.signals[i].probability >= 0.5f);
    if (report.drafted > 0 && report.drafted < std::min(8, 149 - position)) CHECK(report.signals.back().probability < 0.5f);
    doubtful_first += report.drafted == 1;
    position = report.position;
  }
  CHECK(doubtful_first > 0);
}

TEST("engine: n-grams of the text alone are drafted without a draft model, and some are right") {
  Loaded loaded(options("target"));
  Request request = loaded.request(kBeginnings[2], 400, 4);
  const RequestResult result = loaded.run(request);
  check_same(result.tokens, loaded.plain(kBeginnings[2], 400), request, model("target"), "n-grams");
  CHECK(result.accepted_tokens > 0);
  // Its own text once more as the prompt: what comes next was there before.
  Request again = request;
  again.id += 1000;
  again.max_tokens = 50;
  again.prompt.insert(again.prompt.end(), result.tokens.begin(), result.tokens.begin() + 200);
  again.prompt.insert(again.prompt.end(), request.prompt.begin(), request.prompt.end());
  const RequestResult known = loaded.run(again);
  CHECK(known.draft_tokens > 0);
  CHECK(loaded.heard.reports(again.id)[1].drafted > 0);
  CHECK(loaded.heard.reports(again.id)[1].draft_tokens[0] == result.tokens[0]);
}

TEST("engine: without answers one deadline is waited for, and the first plan holds throughout") {
  EngineOptions o = options("target", "draft");
  o.plan_deadline_ms = 40;
  Loaded loaded(o);
  const Tokens plain = loaded.plain(kBeginnings[0], 100);
  Request request = loaded.request(kBeginnings[0], 100, 3);
  request.asks = true;
  const RequestResult result = loaded.run(request);
  check_same(result.tokens, plain, request, model("target"), "unanswered");
  const std::vector<StepReport> reports = loaded.heard.reports(request.id);
  CHECK_EQUAL(result.late_plans, result.steps);
  double waited_later = 0;
  for (const StepReport& report : reports) {
    CHECK((report.question != 0) == (report.step == 0));
    CHECK_EQUAL(report.depth, report.step == 0 ? 0 : 3);
    CHECK_EQUAL(report.late, report.step > 0);
    if (report.step > 1) waited_later += report.wait_ms;
  }
  CHECK(reports[1].wait_ms >= 40);
  CHECK(waited_later < reports[1].wait_ms / 2);
}

TEST("engine: a late answer sets the next plan, and the questions go on after it") {
  EngineOptions o = options("target", "draft");
  o.plan_deadline_ms = 5;
  Loaded loaded(o);
  const Tokens plain = loaded.plain(kBeginnings[0], 100);
  Request request = loaded.request(kBeginnings[0], 100, 2);
  request.asks = true;
  int64_t first = 0;
  loaded.heard.on_report = [&](int64_t, int slot, const StepReport& report) {
    if (report.step == 0) first = report.question;
    if (report.step == 5) loaded.engine.desk().answer(slot, first, {.depth = 6});
  };
  check_same(loaded.run(request).tokens, plain, request, model("target"), "late");
  const std::vector<StepReport> reports = loaded.heard.reports(request.id);
  REQUIRE(reports.size() > 8);
  for (int step = 1; step <= 5; ++step) {
    CHECK_EQUAL(reports[step].depth, 2);
    CHECK_EQUAL(reports[step].question, 0);
  }
  CHECK_EQUAL(reports[6].depth, 6);
  CHECK(!reports[6].late);
  CHECK(reports[6].question > first);
  CHECK_EQUAL(reports[7].depth, 6);  // unanswered, so the plan before holds
  CHECK(reports[7].late);
}

TEST("engine: plans of all kinds with trees give the tokens of plain decoding") {
  for (const auto& [target, draft] : {kPairs[0], kPairs[3], kPairs[4]}) {
    EngineOptions o = tree_options(target, draft);
    o.plan_deadline_ms = 20'000;
    o.batch_size = 16;
    Loaded loaded(o);
    test::Random random(6);
    int right = 0;
    Answerer answerer(loaded, [&](int64_t question) {
      if (question % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      Plan plan = random_plan(random);
      if (random.uniform() < 0.8) plan.tree_nodes = random.below(20);
      if (random.uniform() < 0.3) plan.branches = random.below(4);
      return plan;
    });
    for (const std::string beginning : kBeginnings) {
      const Tokens plain = loaded.plain(beginning, 400);
      Request request = loaded.request(beginning, 400, 0);
      request.asks = true;
      request.plan.tree_nodes = 6;
      const RequestResult result = loaded.run(request);
      CHECK_EQUAL(result.tokens, plain);
      right += result.beside_accepted;
    }
    CHECK(right > 0);
  }
}

TEST("engine: answers that come around the deadline leave the text right") {
  EngineOptions o = options("target", "draft");
  o.plan_deadline_ms = 0.5;
  Loaded loaded(o);
  const Tokens plain = loaded.plain(kBeginnings[2], 200);
  test::Random random(3);
  Answerer answerer(loaded, [&](int64_t) -> std::optional<Plan> {
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(1500)));
    return random_plan(random);
  });
  for (int i = 0; i < 5; ++i) {
    Request request = loaded.request(kBeginnings[2], 200, 1);
    request.asks = true;
    check_same(loaded.run(request).tokens, plain, request, model("target"), "around the deadline");
  }
}

TEST("engine: an abort and a close end the wait for a plan") {
  EngineOptions o = options("target", "draft");
  o.plan_deadline_ms = 30'000;
  Loaded loaded(o);
  Gate asked[2];
  int times = 0;
  loaded.heard.on_report = [&](int64_t, int, const StepReport& report) {
    if (report.question != 0) asked[times++].open();
  };
  const double start = now_ms();
  Request aborted = loaded.request(kBeginnings[0], 50, 2), closed = loaded.request(kBeginnings[0], 50, 2);
  aborted.asks = closed.asks = true;
  loaded.engine.submit(aborted);
  asked[0].pass();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));  // so that it is likely to be waiting
  loaded.engine.abort(aborted.id);
  CHECK(loaded.heard.wait_for_end(aborted.id).reason == FinishReason::kAborted);
  loaded.engine.submit(closed);
  asked[1].pass();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  loaded.engine.close();
  CHECK(loaded.heard.wait_for_end(closed.id).reason == FinishReason::kAborted);
  loaded.heard.wait_until_closed();
  CHECK(now_ms() - start < o.plan_deadline_ms);
}

}  // namespace
}  // namespace adaptive_spec
