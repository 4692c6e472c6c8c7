// Prints what the n-gram store costs when it is full: time per token entered and looked up, and memory. One thread; the
// text has the repetitions that answers to like questions have.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>

#include "draft/ngram_store.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

constexpr uint32_t kTokens = 1'048'576;
constexpr int kVocabulary = 152'000, kText = 400;

using Tokens = std::vector<int32_t>;

double now_us() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double resident_mib() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024.0;
}

// Half of it passages of the text before.
Tokens next_text(test::Random& random, const Tokens& before) {
  Tokens text;
  while (text.size() < kText) {
    if (!before.empty() && random.below(2) == 0) {
      const int start = random.below(kText - 40);
      text.insert(text.end(), before.begin() + start, before.begin() + start + 1 + random.below(40));
    } else {
      for (int i = 0; i < 20; ++i) text.push_back(random.below(kVocabulary));
    }
  }
  text.resize(kText);
  return text;
}

void run() {
  const double resident_before = resident_mib();
  test::Random random(1);
  NgramStore store(kTokens);
  Tokens text;
  double entering = 0, looking = 0;
  int entered = 0, looked = 0, matches = 0;
  for (uint32_t filled = 0; filled < 2 * kTokens; filled += kText) {
    Tokens next = next_text(random, text);
    if (filled > kTokens && looked < 200'000) {
      const double start = now_us();
      for (int i = 1; i < kText; ++i, ++looked)
        matches += store.predict(std::span<const int32_t>(next).first(i), {}).has_value();
      looking += now_us() - start;
    }
    const double start = now_us();
    store.enter(next);
    entering += now_us() - start;
    entered += kText;
    text = std::move(next);
  }
  std::printf("a store of %u tokens, each n-gram table touched: %.1f MiB\n", kTokens, resident_mib() - resident_before);
  std::printf("a token entered    %.3f us (%d)\n", entering / entered, entered);
  std::printf("a token looked up  %.3f us (%d, of which %d matched)\n", looking / looked, looked, matches);
}

}  // namespace
}  // namespace adaptive_spec

int main() { adaptive_spec::run(); }
