// Tests of drafts whose tokens are drawn: where they come from, what decides their length, and that the engine makes
// the target's distribution of them. Needs the tiny models in the folder that ADAPTIVE_SPEC_TINY_MODELS names.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>

#include "draft/hybrid_drafter.h"
#include "draft/model_drafter.h"
#include "draft/ngram_drafter.h"
#include "engine/engine.h"
#include "test/harness.h"
#include "test/statistics.h"

namespace adaptive_spec {
namespace {

using Tokens = std::vector<int32_t>;
const Tokens kNever;

std::string path(const std::string& name) {
  const char* folder = std::getenv("ADAPTIVE_SPEC_TINY_MODELS");
  if (!folder) throw std::runtime_error("set ADAPTIVE_SPEC_TINY_MODELS to where test/tiny-models.ts wrote them");
  return std::string(folder) + "/" + name + ".gguf";
}

// A tiny draft model for the tiny target, by itself and beside n-grams.
class Drafters {
 public:
  explicit Drafters(const std::string& draft_name = "draft", const std::string& target_name = "target") {
    start_backend();
    target_ = load_model({.path = path(target_name)});
    pool_ = make_thread_pool(1);
    ModelHandle draft = load_model({.path = path(draft_name)});
    VocabularyMap map(target_.get(), draft.get(), path(draft_name));
    const ContextOptions options{
        .context_size = 512, .parallel = 2, .max_rows = 2, .batch_size = 64, .flash_attention = 0};
    model = std::make_unique<ModelDrafter>(std::move(draft), std::move(map), options, pool_.get(), &never_);
    ngram = std::make_unique<NgramDrafter>(2, kNever);
    hybrid = std::make_unique<HybridDrafter>(*model, *ngram);
  }
  const llama_vocab* target_vocab() const { return llama_model_get_vocab(target_.get()); }

 private:
  ModelHandle target_;
  ThreadPoolHandle pool_;
  std::atomic<bool> never_ = false;

 public:
  std::unique_ptr<ModelDrafter> model;
  std::unique_ptr<NgramDrafter> ngram;
  std::unique_ptr<HybridDrafter> hybrid;
};

const Tokens kText = {40, 41, 42, 43, 44};

// What is drafted after a text. Nothing of the draft stays in the drafter's cache.
Draft drafted(Drafters& drafters, Drafter& drafter, const SamplingParams* sampling, int depth,
              const Tokens& text = kText, const StopRule* stop = nullptr, int seq = 0) {
  Draft draft;
  draft.seq = seq;
  draft.accepted = text;
  draft.depth = depth;
  draft.stop = stop;
  draft.sampling = sampling;
  Draft* drafts[] = {&draft};
  drafter.extend(drafts);
  drafters.model->roll_back(seq, static_cast<int>(text.size()) - 1, 0);
  return draft;
}

}  // namespace

TEST("drawn drafts: each token comes from its distribution, whose ids are in order and the target's") {
  for (const char* name : {"draft", "draftHot", "draftHotUnsorted", "draftPadded"}) {
    Drafters drafters(name);
    const int n_vocab = llama_vocab_n_tokens(drafters.target_vocab());
    std::set<int32_t> different;
    for (uint32_t seed = 0; seed < 50; ++seed) {
      const SamplingParams sampling{.temperature = 1.5f, .seed = seed, .rejection = true};
      const Draft draft = drafted(drafters, *drafters.model, &sampling, 4);
      // Where the likeliest token is one that the target lacks, a draft ends.
      CHECK(draft.tokens.size() == 4 || draft.stopped);
      REQUIRE(!draft.tokens.empty() && draft.drawn_from.size() == draft.tokens.size());
      for (size_t k = 0; k < draft.tokens.size(); ++k) {
        const Distribution& from = draft.drawn_from[k];
        CHECK(probability_of(from, draft.tokens[k]) > 0);
        double sum = 0;
        for (size_t i = 0; i < from.size(); ++i) {
          sum += from[i].value;
          CHECK(from[i].id < n_vocab && from[i].id > (i == 0 ? -1 : from[i - 1].id));
        }
        CHECK(std::abs(sum - 1) < 1e-4);
      }
      different.insert(draft.tokens[0]);
    }
    CHECK(different.size() > 5);
  }
}

TEST("drawn drafts: tokens are as frequent as their distribution says") {
  Drafters drafters;
  std::vector<int> counts(llama_vocab_n_tokens(drafters.target_vocab()));
  Distribution from;
  for (uint32_t seed = 0; seed < 5000; ++seed) {
    const SamplingParams sampling{.temperature = 0.9f, .top_k = 12, .seed = seed, .rejection = true};
    const Draft draft = drafted(drafters, *drafters.model, &sampling, 1);
    ++counts[draft.tokens.at(0)];
    from = draft.drawn_from[0];
  }
  CHECK_EQUAL(from.size(), size_t{12});
  CHECK(test::g_test(counts, from) > 0.001);
}

TEST("drawn drafts: the same seed and length of text draw the same again, whoever drafted before; another draws anew") {
  Drafters drafters;
  const SamplingParams sampling{.temperature = 2, .seed = 7, .rejection = true};
  const Draft first = drafted(drafters, *drafters.model, &sampling, 6);
  drafted(drafters, *drafters.ngram, &sampling, 6);
  CHECK_EQUAL(drafted(drafters, *drafters.model, &sampling, 6).tokens, first.tokens);
  // A token at a time, as where the first one is drafted ahead.
  for (int depth = 1; depth < 6; ++depth)
    CHECK_EQUAL(drafted(drafters, *drafters.model, &sampling, depth).tokens,
                Tokens(first.tokens.begin(), first.tokens.begin() + depth));
  CHECK_EQUAL(drafted(drafters, *drafters.model, &sampling, 6, kText, nullptr, 1).tokens, first.tokens);
  const SamplingParams other{.temperature = 2, .seed = 8, .rejection = true};
  CHECK(drafted(drafters, *drafters.model, &other, 6).tokens != first.tokens);
}

TEST("drawn drafts: signals and length are those of the rows, whatever was drawn from them") {
  Drafters drafters;
  StopRule rule;
  for (const double min_probability : {0.2, 0.4, 0.6})
    for (const bool keep : {false, true}) {
      rule.min_probability = min_probability;
      rule.keep = keep;
      const Draft greedy = drafted(drafters, *drafters.model, nullptr, 1, kText, &rule);
      for (uint32_t seed = 0; seed < 40; ++seed) {
        const SamplingParams sampling{.temperature = 1.5f, .seed = seed, .rejection = true};
        const Draft draft = drafted(drafters, *drafters.model, &sampling, 1, kText, &rule);
        REQUIRE(draft.tokens.size() == greedy.tokens.size());
        CHECK_EQUAL(draft.stopped, greedy.stopped);
        if (!draft.tokens.empty()) CHECK_EQUAL(draft.signals[0].probability, greedy.signals[0].probability);
      }
    }
}

TEST("drawn drafts: a hybrid's matches stay certain, and its model's tokens are drawn") {
  Drafters drafters;
  Tokens text;
  for (int i = 0; i < 60; ++i) text.push_back(40 + i % 9);
  const SamplingParams sampling{.temperature = 3, .seed = 1, .rejection = true};
  const Draft sure = drafted(drafters, *drafters.hybrid, &sampling, 5, text);
  CHECK_EQUAL(sure.tokens.size(), size_t{5});
  CHECK(!sure.has_drawn_tokens());
  drafters.ngram->end(0, 0);
  drafters.model->end(0, 0);
  const Tokens new_text = {90, 91, 92, 93};
  const Draft unsure = drafted(drafters, *drafters.hybrid, &sampling, 3, new_text);
  CHECK(unsure.has_drawn_tokens());
  for (size_t k = 0; k < unsure.tokens.size(); ++k)
    CHECK_EQUAL(unsure.drawn_from[k].empty(), unsure.signals[k].origin != Origin::kModel);
}

TEST("drawn drafts: an end of generation that is masked is never drawn") {
  Drafters drafters("draftWithEog", "targetWithEog");
  for (const bool masked : {false, true}) {
    int ends = 0;
    for (uint32_t seed = 0; seed < 300; ++seed) {
      const SamplingParams sampling{.temperature = 3, .seed = seed, .rejection = true};
      Draft draft;
      draft.accepted = kText;
      draft.depth = 3;
      draft.mask_eog = masked;
      draft.sampling = &sampling;
      Draft* drafts[] = {&draft};
      drafters.model->extend(drafts);
      drafters.model->roll_back(0, static_cast<int>(kText.size()) - 1, 0);
      for (int32_t token : draft.tokens) ends += llama_vocab_is_eog(drafters.target_vocab(), token);
    }
    CHECK_EQUAL(ends > 0, !masked);
  }
}

// --- The engine.

namespace {

// Keeps the ends of requests.
class Ends : public Listener {
 public:
  void on_progress(double) override {}
  void on_loaded(LoadedInfo) override {
    tell([&] { loaded_ = true; });
  }
  void on_load_failed(std::string code, std::string, std::string) override {
    tell([&] { failure_ = code; });
  }
  void on_warning(std::string, std::string) override {}
  void on_step(int64_t, int, StepReport) override {}
  void on_measured(int64_t, std::vector<double>) override {}
  void on_end(int64_t request, RequestResult result) override {
    tell([&] { ends_[request] = std::move(result); });
  }
  void on_closed() override {}
  void flush() override {}

  void wait_until_loaded() {
    wait([this] { return loaded_ || !failure_.empty(); });
    if (!failure_.empty()) throw std::runtime_error("loading failed: " + failure_);
  }
  RequestResult take(int64_t request) {
    wait([&] { return ends_.contains(request); });
    const std::lock_guard lock(mutex_);
    return std::move(ends_.extract(request).mapped());
  }

 private:
  template <class Change>
  void tell(Change&& change) {
    const std::lock_guard lock(mutex_);
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
  bool loaded_ = false;
  std::string failure_;
  std::map<int64_t, RequestResult> ends_;
};

EngineOptions options() {
  EngineOptions o;
  o.model_path = path("target");
  o.draft_path = path("draft");
  o.context_size = 64;
  o.threads = o.draft_threads = 1;
  o.flash_attention = 0;
  return o;
}

// What the target would draw from after each text, computed once, row by row.
class Exact {
 public:
  explicit Exact(const SamplingParams& params)
      : model_(load_model({.path = path("target")})),
        pool_(make_thread_pool(1)),
        context_(model_.get(), {.context_size = 64, .max_rows = 1, .batch_size = 64, .flash_attention = 0}, pool_.get(),
                 &never_),
        sampler_(params, {}, {}, context_.n_vocab()) {}

  const Distribution& after(const Tokens& text) {
    Distribution& p = known_[text];
    if (!p.empty()) return p;
    context_.forget_all();
    context_.clear_batch();
    for (size_t i = 0; i < text.size(); ++i) context_.add(text[i], static_cast<int>(i), 0, i + 1 == text.size());
    REQUIRE(context_.decode() == DecodeStatus::kOk);
    return p = sampler_.distribution(context_.logits(static_cast<int>(text.size()) - 1));
  }
  int n_vocab() const { return context_.n_vocab(); }

 private:
  ModelHandle model_;
  ThreadPoolHandle pool_;
  std::atomic<bool> never_ = false;
  Context context_;
  Sampler sampler_;
  std::map<Tokens, Distribution> known_;
};

// Texts of three tokens among 16 each. The tests' least probability after Holm's correction, and what was accepted.
struct Found {
  double least = 0, acceptance = 0;
  int beside = 0;  // accepted there
};

Found texts_of(bool rejection, int count, int tree_nodes = 0) {
  SamplingParams sampling{.temperature = 1.2f, .top_k = 16, .rejection = rejection};
  Exact exact(sampling);
  Ends heard;
  EngineOptions with = options();
  with.branches = tree_nodes;
  if (tree_nodes > 0) with.flash_attention = -1;
  Engine engine(with, heard);
  heard.wait_until_loaded();
  int beside = 0;
  std::map<Tokens, std::vector<int>> next;
  int verified = 0, accepted = 0;
  for (int i = 0; i < count; ++i) {
    Request request;
    request.id = i + 1;
    request.prompt = kText;
    request.max_tokens = 3;
    request.sampling = sampling;
    request.sampling.seed = i;
    request.plan.depth = 2;
    request.plan.tree_nodes = tree_nodes;
    engine.submit(request);
    const RequestResult result = heard.take(request.id);
    verified += result.verified_tokens;
    accepted += result.accepted_tokens;
    beside += result.beside_accepted;
    Tokens text = kText;
    for (int32_t token : result.tokens) {
      auto& counts = next[text];
      counts.resize(exact.n_vocab());
      ++counts[token];
      text.push_back(token);
    }
  }
  std::vector<double> probabilities;
  for (const auto& [text, counts] : next)
    if (std::accumulate(counts.begin(), counts.end(), 0) >= 50)
      probabilities.push_back(test::g_test(counts, exact.after(text)));
  return {test::least_after_holm(probabilities), static_cast<double>(accepted) / verified, beside};
}

}  // namespace

TEST("engine: trees of drawn tokens leave texts the target's distribution, and some siblings are right") {
  const Found found = texts_of(true, 4000, 6);
  CHECK(found.least > 0.01);
  CHECK(found.beside > 400);
}

TEST("engine: texts have the target's distribution under both acceptances, and rejection accepts more") {
  constexpr int kTexts = 4000;
  const Found compared = texts_of(false, kTexts), rejected = texts_of(true, kTexts);
  CHECK(compared.least > 0.01);
  CHECK(rejected.least > 0.01);
  CHECK(rejected.acceptance > compared.acceptance + 0.02);
}

}  // namespace adaptive_spec
