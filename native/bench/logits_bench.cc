// Prints what the kernels on one row of logits cost, and sampling from it: ours beside llama.cpp's chain on the whole
// row. One thread; each figure is the median of many runs with the quartiles, in microseconds.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>

#include "kernels/logits.h"
#include "test/random.h"
#include "verify/sampler.h"

namespace adaptive_spec {
namespace {

constexpr int kVocabulary = 152'000, kRuns = 301, kRows = 4;

void print(const std::string& what, const std::function<void()>& run) {
  using clock = std::chrono::steady_clock;
  std::vector<double> us;
  const auto begin = clock::now();
  for (int i = 0; i < kRuns && (i < 11 || clock::now() - begin < std::chrono::seconds(1)); ++i) {
    const auto start = clock::now();
    run();
    us.push_back(std::chrono::duration<double, std::micro>(clock::now() - start).count());
  }
  std::sort(us.begin(), us.end());
  std::printf("%-52s %9.1f us  (%.1f to %.1f, %zu runs)\n", what.c_str(), us[us.size() / 2], us[us.size() / 4],
              us[us.size() * 3 / 4], us.size());
}

using Rows = std::vector<std::vector<float>>;

// As a language model's: a bell of unlikely tokens, and `head` likely ones whose logits fall with their rank. With no
// head they are flat, and thousands of tokens make up 0.95 of the probability.
Rows make_rows(int head) {
  test::Random random(1);
  Rows rows;
  for (int i = 0; i < kRows; ++i) {
    rows.push_back(random.row(kVocabulary, 2.3));
    for (int rank = 0; rank < head; ++rank)
      rows.back()[random.below(kVocabulary)] =
          static_cast<float>(21 - 1.7 * std::log(1 + rank) + 0.5 * random.normal());
  }
  return rows;
}

// Steps verify several rows, so that one seldom meets the caches as it left them.
const std::vector<float>& next(const Rows& rows) {
  static size_t turn = 0;
  return rows[turn++ % kRows];
}

volatile int32_t kept = 0;

struct Setting {
  const char* name;
  SamplingParams params;
};

const Setting kSettings[] = {
    {"top_k 40, top_p 0.95, min_p 0.05, temperature 0.8",
     {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .seed = 1}},
    {"top_k 40", {.temperature = 1, .top_k = 40, .seed = 1}},
    {"top_k 1000", {.temperature = 1, .top_k = 1000, .seed = 1}},
    {"top_p 0.95", {.temperature = 1, .top_p = 0.95f, .seed = 1}},
    {"min_p 0.05", {.temperature = 1, .min_p = 0.05f, .seed = 1}},
    {"top_p 0.95, min_p 0.05", {.temperature = 1, .top_p = 0.95f, .min_p = 0.05f, .seed = 1}},
    {"temperature alone", {.temperature = 1, .seed = 1}},
};

// llama.cpp's own chain with these settings, on the whole row.
int32_t sample_whole(llama_sampler* chain, const std::vector<float>& logits, std::vector<llama_token_data>& row) {
  for (int32_t id = 0; id < kVocabulary; ++id) row[id] = {id, logits[id], 0};
  llama_token_data_array all{row.data(), row.size(), -1, false};
  llama_sampler_apply(chain, &all);
  return all.data[all.selected].id;
}

void time_kernels(const Rows& rows) {
  for (const LogitKernels* kernels : runnable_logit_kernels()) {
    use_logit_kernels(*kernels);
    const std::string name = std::string(" (") + kernels->name + ")";
    print("argmax" + name, [&] { kept = argmax(next(rows).data(), kVocabulary); });
    print("choose" + name, [&] { kept = choose(next(rows).data(), kVocabulary).id; });
  }
  use_logit_kernels(*runnable_logit_kernels().front());
}

void time_sampling(const Rows& rows) {
  std::vector<llama_token_data> whole(kVocabulary);
  for (const Setting& setting : kSettings) {
    Sampler sampler(setting.params, {}, {}, kVocabulary);
    const SamplerChain chain = llama_chain(setting.params, kVocabulary);
    // It may change a row, but changes none without masked ids.
    print(setting.name, [&] { kept = sampler.sample(const_cast<float*>(next(rows).data())); });
    print("  llama.cpp, whole row", [&] { kept = sample_whole(chain.get(), next(rows), whole); });
  }
}

}  // namespace
}  // namespace adaptive_spec

int main() {
  using namespace adaptive_spec;
  std::printf("rows of %d logits, %d of them in turn\n", kVocabulary, kRows);
  const Rows rows = make_rows(400);
  time_kernels(rows);
  time_sampling(rows);
  std::printf("flat rows\n");
  time_sampling(make_rows(0));
}
