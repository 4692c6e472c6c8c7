// Tests of Sampler: ties, masks, seeds, penalties, and that draws have the distribution they should have.
#include "verify/sampler.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <numeric>

#include "test/harness.h"
#include "test/random.h"
#include "verify/accept.h"

namespace adaptive_spec {
namespace {

using test::Random;
using Tokens = std::vector<int32_t>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A sampler may change the row that it is given, so each draw has a copy.
int32_t draw(Sampler& sampler, std::vector<float> logits) { return sampler.sample(logits.data()); }

Sampler make(const SamplingParams& params, int n, const Tokens& prompt = {}, Tokens masked = {}) {
  return Sampler(params, prompt, std::move(masked), n);
}

const SamplingParams kGreedy{};
const SamplingParams kPenalties{.repeat_penalty = 1.3f, .frequency_penalty = 0.2f, .presence_penalty = 0.1f};
const SamplingParams kWarm{.temperature = 0.8f, .seed = 7};

TEST("sampler: greedy ties go to the lowest id, with penalties too") {
  for (const SamplingParams& params : {kGreedy, kPenalties})
    for (int first = 0; first < 100; ++first)
      for (int second = first + 1; second < 100; second += 7) {
        std::vector<float> logits(100, -1);
        logits[first] = logits[second] = 2;
        Sampler sampler = make(params, 100);
        CHECK_EQUAL(draw(sampler, logits), first);
      }
}

TEST("sampler: top_k = 1 takes the lowest id of a tie") {
  for (int n : {5, 100, 1000})
    for (int first = 0; first < n; first += 1 + n / 20) {
      std::vector<float> logits(n, -1);
      for (int id = first; id < n; ++id) logits[id] = 2;
      Sampler sampler = make({.temperature = 1, .top_k = 1, .seed = 3}, n);
      CHECK_EQUAL(draw(sampler, logits), first);
    }
}

TEST("sampler: biases come before everything else, once for each row, and those of a token add up") {
  const std::vector<float> logits = {3, 2, 1, 0};
  SamplingParams greedy = kGreedy;
  greedy.biases = {{0, -1.5f}, {3, 1}, {3, 1.5f}};
  Sampler best = make(greedy, 4);
  for (int i = 0; i < 3; ++i) CHECK_EQUAL(draw(best, logits), 3);
  SamplingParams warm = kWarm;
  warm.biases = {{1, 0.5f}, {2, -kInfinity}};
  const std::vector<float> biased = {3, 2.5f, -kInfinity, 0};
  Sampler sampler = make(warm, 4), plain = make(kWarm, 4);
  for (int i = 0; i < 2000; ++i) {
    const int32_t token = draw(sampler, logits);
    CHECK_EQUAL(token, draw(plain, biased));
    CHECK(token != 2);
  }
}

TEST("sampler: masked ids are never picked") {
  Random random(1);
  const Tokens masked = {0, 17, 99};
  for (const SamplingParams& params : {kGreedy, kPenalties, kWarm}) {
    Sampler sampler = make(params, 100, {}, masked);
    for (int i = 0; i < 2000; ++i) {
      std::vector<float> logits = random.row(100, 1);
      for (int32_t id : masked) logits[id] = 5;
      const int32_t token = draw(sampler, logits);
      CHECK(std::find(masked.begin(), masked.end(), token) == masked.end());
    }
  }
}

TEST("sampler: a mask leaves greedy the best of the others, at the lowest id") {
  Sampler sampler = make(kGreedy, 5, {}, {1, 2});
  CHECK_EQUAL(draw(sampler, {0, 9, 8, 7, 7}), 3);
}

TEST("sampler: bad rows give no token, whatever the settings; masked ids are no reason") {
  Random random(18);
  for (const SamplingParams& params :
       {kGreedy, kPenalties, kWarm, SamplingParams{.temperature = 1, .top_k = 5},
        SamplingParams{.temperature = 1, .top_p = 0.9f}, SamplingParams{.temperature = 1, .min_p = 0.1f}})
    for (int n : {50, 3000}) {
      Sampler sampler = make(params, n);
      CHECK_EQUAL(draw(sampler, std::vector<float>(n, -kInfinity)), -1);
      std::vector<float> logits = random.row(n, 4);
      for (float bad : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
        std::vector<float> with_bad = logits;
        with_bad[random.below(n)] = bad;
        CHECK_EQUAL(draw(sampler, with_bad), -1);
      }
      std::fill(logits.begin(), logits.begin() + n / 2, -kInfinity);
      CHECK(draw(sampler, logits) >= n / 2);
    }
}

// --- Shortlists.

// Rows of many shapes; `ties` of them have few values.
std::vector<float> some_row(Random& random, int n, bool ties) {
  std::vector<float> logits = random.row(n, 0.5 + 4 * random.uniform());
  const double height = 15 * random.uniform(), fall = 0.5 + 2 * random.uniform();
  for (int rank = 0; rank < n / 50; ++rank)
    logits[random.below(n)] = static_cast<float>(height - fall * std::log(1 + rank) + 0.3 * random.normal());
  const float shift = static_cast<float>(20 * random.uniform() - 10);
  const float steps = random.uniform() < 0.5 ? 4.0f : 50.0f;
  for (float& logit : logits) {
    logit += shift;
    if (ties) logit = std::round(logit * steps) / steps;
  }
  if (random.uniform() < 0.2)
    for (int i = 0; i < n / 3; ++i) logits[random.below(n)] = -kInfinity;
  return logits;
}

const SamplingParams kFilters[] = {
    {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f},
    {.temperature = 1, .top_k = 1},
    {.temperature = 1.5f, .top_k = 40},
    {.temperature = 1, .top_k = 128, .top_p = 0.9f},
    {.temperature = 1, .top_k = 129},
    {.temperature = 1.3f, .top_k = 300, .min_p = 0.01f},
    {.temperature = 1, .top_k = 5000},
    {.temperature = 0.8f, .top_p = 0.95f},
    {.temperature = 1.2f, .top_p = 0.5f},
    {.temperature = 1, .top_p = 0.999f},
    {.temperature = 1, .top_p = 0},
    {.temperature = 0.9f, .top_p = 0.9f, .min_p = 0.05f},
    {.temperature = 0.8f, .min_p = 0.05f},
    {.temperature = 2, .min_p = 0.001f},
    {.temperature = 1, .min_p = 1},
};
const SamplingParams kTemperatures[] = {{.temperature = 0.3f}, {.temperature = 0.7f}, {.temperature = 1}, {.temperature = 2}};

// llama.cpp's own chain on whole rows.
class WholeRows {
 public:
  explicit WholeRows(const SamplingParams& params, int n) : chain_(llama_chain(params, n)) {}
  int32_t draw(const std::vector<float>& logits) {
    std::vector<llama_token_data> row;
    for (float logit : logits) row.push_back({static_cast<int32_t>(row.size()), logit, 0});
    llama_token_data_array all{row.data(), row.size(), -1, false};
    llama_sampler_apply(chain_.get(), &all);
    llama_sampler_accept(chain_.get(), all.data[all.selected].id);
    return all.data[all.selected].id;
  }

 private:
  SamplerChain chain_;
};

void compare_with_whole_rows(std::span<const SamplingParams> all, int n, int rows, uint32_t seed) {
  for (SamplingParams params : all) {
    params.seed = seed;
    Random random(seed);
    Sampler sampler = make(params, n);
    WholeRows whole(params, n);
    for (int i = 0; i < rows; ++i) {
      const std::vector<float> logits = some_row(random, n, i % 3 == 2);
      // Several draws of each: a wrong cut shows in few of them.
      for (int j = 0; j < 5; ++j) {
        const int32_t ours = draw(sampler, logits), theirs = whole.draw(logits);
        if (ours == theirs) continue;
        test::fail(__FILE__, __LINE__,
                   "row " + std::to_string(i) + " of " + std::to_string(n) + ": " + std::to_string(ours) +
                       " instead of " + std::to_string(theirs) + " at temperature " +
                       std::to_string(params.temperature) + ", top_k " + std::to_string(params.top_k) +
                       ", top_p " + std::to_string(params.top_p) + ", min_p " + std::to_string(params.min_p));
        break;
      }
    }
  }
}

TEST("sampler: filters draw from shortlists what llama.cpp's chain draws from whole rows, ties too") {
  for (const LogitKernels* kernels : runnable_logit_kernels()) {
    use_logit_kernels(*kernels);
    for (int n : {1000, 1025, 1600, 4097}) compare_with_whole_rows(kFilters, n, 30, 20 + n);
  }
  use_logit_kernels(*runnable_logit_kernels().front());
  compare_with_whole_rows(kFilters, 12'000, 100, 31);
  compare_with_whole_rows(kFilters, 152'000, 9, 32);
}

TEST("sampler: a temperature alone draws what llama.cpp's chain draws from whole rows") {
  for (const LogitKernels* kernels : runnable_logit_kernels()) {
    use_logit_kernels(*kernels);
    for (int n : {1000, 1025, 1600, 4097}) compare_with_whole_rows(kTemperatures, n, 200, 40 + n);
  }
  use_logit_kernels(*runnable_logit_kernels().front());
  compare_with_whole_rows(kTemperatures, 12'000, 300, 51);
  compare_with_whole_rows(kTemperatures, 152'000, 20, 52);
}

TEST("sampler: rows like a language model's are mostly drawn from without a copy") {
  Random random(23);
  for (const SamplingParams& params : kTemperatures) {
    const SamplerChain chain = llama_chain(params, 50'000);
    TemperatureDraw draw(params.temperature, 50'000);
    int drawn = 0;
    for (int i = 0; i < 40; ++i) {
      std::vector<float> logits = random.row(50'000, 2);
      for (int rank = 0; rank < 400; ++rank)
        logits[random.below(50'000)] = static_cast<float>(20 - 2 * std::log(1 + rank) + 0.3 * random.normal());
      drawn += draw.draw(logits.data(), llama_sampler_chain_get(chain.get(), 1)).has_value();
    }
    CHECK(drawn >= (params.temperature < 2 ? 34 : 1));
  }
}

TEST("sampler: rows like a language model's are shortened, and ties at the cut are not") {
  Random random(19);
  for (const SamplingParams& params : kFilters) {
    if (params.top_k == 5000) continue;
    Shortlist shortlist(params, 50'000);
    REQUIRE(Shortlist::serves(params, 50'000));
    int short_ones = 0;
    for (int i = 0; i < 20; ++i) {
      std::vector<float> logits = random.row(50'000, 2);
      for (int rank = 0; rank < 400; ++rank)
        logits[random.below(50'000)] = static_cast<float>(20 - 2 * std::log(1 + rank) + 0.3 * random.normal());
      short_ones += shortlist.shorten(logits.data()) == Shortlist::Outcome::kShort;
    }
    CHECK(short_ones >= 17);
  }
  const SamplingParams top_3{.temperature = 1, .top_k = 3};
  Shortlist shortlist(top_3, 5000);
  std::vector<float> logits(5000, -3);
  logits[5] = 4, logits[70] = 2, logits[9] = 1, logits[4000] = 0;
  CHECK(shortlist.shorten(logits.data()) == Shortlist::Outcome::kShort);
  CHECK_EQUAL(shortlist.entries().size, 3u);
  logits[4000] = 1;
  CHECK(shortlist.shorten(logits.data()) == Shortlist::Outcome::kWholeRow);
}

// --- Seeds.

Tokens draws(const SamplingParams& params, int count) {
  Random random(2);
  Sampler sampler = make(params, 64);
  Tokens tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(draw(sampler, random.row(64, 1)));
  return tokens;
}

TEST("sampler: one seed gives one sequence, the largest seed too, and another seed another one") {
  std::vector<Tokens> all;
  for (uint32_t seed : {0u, 1u, 12345u, 0xFFFFFFFEu, 0xFFFFFFFFu}) {
    const SamplingParams params{.temperature = 1, .seed = seed};
    all.push_back(draws(params, 200));
    CHECK_EQUAL(draws(params, 200), all.back());
  }
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = 0; j < i; ++j) CHECK(all[i] != all[j]);
}

// A model of a kind: the row after a text depends on its last three tokens.
std::vector<float> row_after(const Tokens& text) {
  uint32_t seed = 1;
  for (size_t i = text.size() - std::min<size_t>(3, text.size()); i < text.size(); ++i)
    seed = seed * 31 + text[i];
  return Random(seed).row(40, 1.5);
}

// As the engine runs a sequence: drafts of `depth(step)` tokens, of which about `right` of all are the
// target's.
Tokens speculate(const SamplingParams& params, int count, double right, const std::function<int()>& depth) {
  Random random(3);
  Sampler sampler = make(params, 40, {3, 4, 5});
  Tokens text;
  while (static_cast<int>(text.size()) < count) {
    Tokens draft;
    const Tokens before = text;
    for (int i = depth(); i > 0; --i) {
      Tokens with_draft = before;
      with_draft.insert(with_draft.end(), draft.begin(), draft.end());
      const std::vector<float> row = row_after(with_draft);
      const auto best = std::max_element(row.begin(), row.end()) - row.begin();
      draft.push_back(random.uniform() < right ? static_cast<int32_t>(best) : random.below(40));
    }
    accept_chain(
        draft,
        [&](size_t rows) {
          Tokens with_draft = before;
          with_draft.insert(with_draft.end(), draft.begin(), draft.begin() + rows);
          return draw(sampler, row_after(with_draft));
        },
        [&](int32_t token) {
          text.push_back(token);
          return static_cast<int>(text.size()) < count;
        });
  }
  return text;
}

TEST("sampler: the text is the same whatever is drafted, sampled, greedy and under penalties") {
  SamplingParams both = kWarm;
  both.repeat_penalty = 1.2f, both.presence_penalty = 0.3f, both.penalty_last_n = 16, both.top_k = 20;
  both.top_p = 0.95f;
  for (const SamplingParams& params : {kGreedy, kPenalties, kWarm, both}) {
    const Tokens plain = speculate(params, 300, 0, [] { return 0; });
    for (double right : {0.0, 0.6, 1.0}) {
      CHECK_EQUAL(speculate(params, 300, right, [] { return 1; }), plain);
      CHECK_EQUAL(speculate(params, 300, right, [] { return 8; }), plain);
      Random random(4);
      CHECK_EQUAL(speculate(params, 300, right, [&] { return random.below(25); }), plain);
    }
  }
}

// --- Penalties.

TEST("sampler: penalties count the prompt and every emitted token, within their window") {
  constexpr int kIds = 30, kWindow = 8;
  const SamplingParams params{
      .repeat_penalty = 1.4f, .frequency_penalty = 0.3f, .presence_penalty = 0.2f, .penalty_last_n = kWindow};
  const Tokens prompt = {1, 2, 3, 3, 4, 5, 5, 5, 6, 7};
  Random random(5);
  Sampler sampler = make(params, kIds, prompt);
  std::deque<int32_t> window(prompt.end() - kWindow, prompt.end());
  int changed = 0;
  for (int i = 0; i < 500; ++i) {
    const std::vector<float> logits = random.row(kIds, 1);
    std::vector<float> penalized = logits;
    for (int id = 0; id < kIds; ++id) {
      const auto count = std::count(window.begin(), window.end(), id);
      if (count == 0) continue;
      float& logit = penalized[id];
      logit = logit <= 0 ? logit * params.repeat_penalty : logit / params.repeat_penalty;
      logit -= static_cast<float>(count) * params.frequency_penalty + params.presence_penalty;
    }
    const auto best =
        static_cast<int32_t>(std::max_element(penalized.begin(), penalized.end()) - penalized.begin());
    const auto unpenalized =
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    CHECK_EQUAL(draw(sampler, logits), best);
    changed += best != unpenalized;
    window.pop_front();
    window.push_back(best);
  }
  CHECK(changed > 50);
}

TEST("sampler: a window of no tokens switches penalties off") {
  SamplingParams params = kPenalties;
  params.penalty_last_n = 0;
  Sampler sampler = make(params, 3, {0, 0, 0});
  for (int i = 0; i < 10; ++i) CHECK_EQUAL(draw(sampler, {1.0f, 0.99f, 0}), 0);
}

// --- Distributions.

constexpr int kDraws = 20'000;

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  const double best = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p;
  for (float logit : logits) p.push_back(std::exp((logit - best) / temperature));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& one : p) one /= sum;
  return p;
}

// Keeps ids that `keep` wants; what is left is made to sum to one.
std::vector<double> among(std::vector<double> p, const std::function<bool(size_t)>& keep) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] = keep(i) ? p[i] : 0;
  for (double& one : p) one /= sum;
  return p;
}

std::vector<int> counts_of(const SamplingParams& params, const std::vector<float>& logits) {
  Sampler sampler = make(params, static_cast<int>(logits.size()));
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < kDraws; ++i) ++counts[draw(sampler, logits)];
  return counts;
}

// How far the counts are from what `p` lets expect, in standard deviations (G-test; Wilson and Hilferty's
// cube root makes its chi-square nearly normal). Ids expected less than five times stand in one cell.
double surprise(const std::vector<int>& counts, const std::vector<double>& p) {
  double g = 0, rare_expected = 0;
  int rare = 0, cells = 0;
  const auto cell = [&](double count, double expected) {
    if (count > 0) g += 2 * count * std::log(count / expected);
    ++cells;
  };
  for (size_t i = 0; i < p.size(); ++i) {
    const double expected = p[i] * kDraws;
    if (expected >= 5) {
      cell(counts[i], expected);
    } else {
      if (p[i] == 0 && counts[i] > 0) return std::numeric_limits<double>::infinity();
      rare += counts[i];
      rare_expected += expected;
    }
  }
  if (rare_expected > 0) cell(rare, rare_expected);
  if (cells < 2) return 0;
  const double k = cells - 1, spread = 2 / (9 * k);
  return (std::cbrt(g / k) - (1 - spread)) / std::sqrt(spread);
}

constexpr double kUsual = 3.5;  // one run in 4000 is further off, and seeds are fixed
constexpr double kWrong = 8;

TEST("sampler: draws at a temperature have the softmax's distribution") {
  Random random(6);
  for (double spread : {0.5, 1.5, 3.0})
    for (float temperature : {0.5f, 1.0f, 1.7f}) {
      const std::vector<float> logits = random.row(200, spread);
      const auto counts = counts_of({.temperature = temperature, .seed = 11}, logits);
      CHECK(surprise(counts, softmax(logits, temperature)) < kUsual);
    }
}

TEST("sampler: the test of distributions rejects wrong ones") {
  Random random(7);
  const std::vector<float> logits = random.row(40, 1.5);
  const auto p = softmax(logits, 1);
  CHECK(surprise(counts_of({.temperature = 1, .seed = 11}, logits), p) < kUsual);
  CHECK(surprise(counts_of({.temperature = 0.9f, .seed = 11}, logits), p) > kWrong);
  CHECK(surprise(counts_of({.temperature = 1, .top_p = 0.97f, .seed = 11}, logits), p) > kWrong);
  CHECK(surprise(counts_of({.temperature = 1, .top_k = 30, .seed = 11}, logits), p) > kWrong);
  std::vector<float> biased = logits;  // one likely token a fifth more likely
  *std::max_element(biased.begin(), biased.end()) += 0.2f;
  CHECK(surprise(counts_of({.temperature = 1, .seed = 11}, biased), p) > kWrong);
  std::rotate(biased.begin(), biased.begin() + 1, biased.end());  // off by one id
  CHECK(surprise(counts_of({.temperature = 1, .seed = 11}, biased), p) > kWrong);
}

TEST("sampler: draws one after the other don't depend on each other") {
  const std::vector<float> logits = {0.5f, 0, -0.3f, 0.2f, 0.1f, -0.1f};
  const size_t n = logits.size();
  const auto p = softmax(logits, 1);
  Sampler sampler = make({.temperature = 1, .seed = 12}, static_cast<int>(n));
  std::vector<int> counts(n * n, 0);
  std::vector<double> pairs;
  for (double first : p)
    for (double second : p) pairs.push_back(first * second);
  for (int i = 0; i < kDraws; ++i) {
    const int32_t first = draw(sampler, logits), second = draw(sampler, logits);
    ++counts[first * n + second];
  }
  CHECK(surprise(counts, pairs) < kUsual);
}

TEST("sampler: top_k, top_p and min_p cut where they should, and leave the rest in proportion") {
  Random random(8);
  for (int n : {50, 2000}) {
    const std::vector<float> logits = random.row(n, 1.2);
    const auto p = softmax(logits, 1), warm = softmax(logits, 1.3);
    std::vector<double> sorted = p;
    std::sort(sorted.rbegin(), sorted.rend());

    for (int k : {1, 5, 40}) {
      const auto cut = among(warm, [&](size_t i) { return p[i] >= sorted[k - 1]; });
      CHECK(surprise(counts_of({.temperature = 1.3f, .top_k = k, .seed = 13}, logits), cut) < kUsual);
    }
    for (double top_p : {0.3, 0.9}) {
      size_t last = 0;
      for (double sum = sorted[0]; sum < top_p; sum += sorted[++last]);
      const auto cut = among(warm, [&](size_t i) { return p[i] >= sorted[last]; });
      const SamplingParams params{.temperature = 1.3f, .top_p = static_cast<float>(top_p), .seed = 14};
      CHECK(surprise(counts_of(params, logits), cut) < kUsual);
    }
    for (double min_p : {0.05, 0.5}) {
      const auto cut = among(warm, [&](size_t i) { return p[i] >= min_p * sorted[0]; });
      const SamplingParams params{.temperature = 1.3f, .min_p = static_cast<float>(min_p), .seed = 15};
      CHECK(surprise(counts_of(params, logits), cut) < kUsual);
    }
  }
}

// Sample and compare: what a step emits must have the target's distribution, whatever the draft proposes.
TEST("sampler: tokens through accept_chain have the target's distribution, whatever is drafted") {
  Random random(9);
  const std::vector<float> logits = random.row(60, 1.5);
  const auto p = softmax(logits, 1);
  const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  for (double right : {0.0, 0.5, 1.0}) {
    Sampler sampler = make({.temperature = 1, .seed = 16}, 60);
    std::vector<int> counts(60, 0);
    for (int emitted = 0; emitted < kDraws;) {
      Tokens draft;
      for (int i = random.below(6); i > 0; --i)
        draft.push_back(random.uniform() < right ? best : random.below(60));
      accept_chain(
          draft, [&](size_t) { return draw(sampler, logits); },
          [&](int32_t token) {
            ++counts[token];
            return ++emitted < kDraws;
          });
    }
    CHECK(surprise(counts, p) < kUsual);
  }
}

TEST("sampler: the usual mistake, taking the draft's token for the target's, is rejected") {
  Random random(10);
  const std::vector<float> logits = random.row(60, 1.5);
  const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  Sampler sampler = make({.temperature = 1, .seed = 17}, 60);
  std::vector<int> counts(60, 0);
  for (int i = 0; i < kDraws; ++i) {
    const int32_t token = draw(sampler, logits);
    ++counts[random.uniform() < 0.03 ? best : token];  // a bias of three in a hundred
  }
  CHECK(surprise(counts, softmax(logits, 1)) > kUsual);
}

}  // namespace
}  // namespace adaptive_spec
