// whole_model MODEL TEXT KERNELS [quick|control]: reads a text through a model row by row, then in batches of all sizes and
// after rolled-back drafts, and compares the logits bit by bit; `quick` takes two sizes only, and
// `control` does so with llama.cpp's flash attention, whose sums depend on the batch and on the threads.
// Prints {"rows", "different", "perplexity", "tokens"}.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>

#include "engine/context.h"

namespace adaptive_spec {
namespace {

constexpr int kTokens = 320;      // compared; past 256 cells, where the KV cache's padding grows
constexpr int kPerplexityTokens = 2000;
constexpr int kMostRows = 200;

std::vector<int32_t> tokens_of(const llama_vocab* vocab, const char* path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::vector<int32_t> tokens(text.size() + 8);
  const int n = llama_tokenize(vocab, text.data(), static_cast<int>(text.size()), tokens.data(),
                               static_cast<int>(tokens.size()), true, false);
  if (n < kTokens) throw std::runtime_error("the text is too short");
  tokens.resize(std::min(n, kPerplexityTokens));
  return tokens;
}

struct Run {
  llama_model* model;
  const KernelSet* kernels;
  const std::vector<int32_t>& tokens;
  bool ggml_flash;
  std::atomic<bool> abort{false};

  std::unique_ptr<Context> context(ggml_threadpool* pool, int threads) {
    return std::make_unique<Context>(model,
                                     ContextOptions{.context_size = 2048,
                                                    .max_rows = kMostRows,
                                                    .batch_size = 512,
                                                    .threads = threads,
                                                    .flash_attention = ggml_flash ? 1 : -1,
                                                    .kernels = kernels},
                                     pool, &abort);
  }

  // Logits of rows [begin, end) in one batch; out is where row `begin`'s go.
  void rows(Context& context, int begin, int end, const int32_t* ids, float* out) {
    context.clear_batch();
    for (int i = begin; i < end; ++i) context.add(ids[i - begin], i, 0, true);
    if (context.decode() != DecodeStatus::kOk) throw std::runtime_error("decode: " + context.last_error());
    for (int i = begin; i < end && out; ++i, out += context.n_vocab())
      std::memcpy(out, context.logits(i - begin), context.n_vocab() * sizeof(float));
  }
};

int check(const char* model_path, const char* text_path, const char* kernels_name, bool quick, bool control) {
  start_backend();
  const KernelSet* kernels = find_kernels(kernels_name);
  const ModelHandle model = load_model({.path = model_path, .kernels = kernels, .threads = 2});
  const std::vector<int32_t> tokens = tokens_of(llama_model_get_vocab(model.get()), text_path);
  Run run{model.get(), kernels, tokens, control};
  const int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model.get()));
  const std::vector<int> threads_of = quick ? std::vector{2} : std::vector{1, 2};
  const std::vector<int> sizes =
      quick ? std::vector{5, 9} : std::vector{1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 25, 33, 64, 65, 130, 200};
  std::vector<float> alone(static_cast<size_t>(kTokens) * n_vocab), row(static_cast<size_t>(kMostRows) * n_vocab);
  long compared = 0, different = 0;
  const auto compare = [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      ++compared;
      different += std::memcmp(alone.data() + static_cast<size_t>(i) * n_vocab,
                               row.data() + static_cast<size_t>(i - begin) * n_vocab, n_vocab * sizeof(float)) != 0;
    }
  };
  {
    const ThreadPoolHandle pool = make_thread_pool(1);
    const auto context = run.context(pool.get(), 1);
    for (int i = 0; i < kTokens; ++i)
      run.rows(*context, i, i + 1, tokens.data() + i, alone.data() + static_cast<size_t>(i) * n_vocab);
  }
  for (const int threads : threads_of) {
    const ThreadPoolHandle pool = make_thread_pool(threads);
    const auto context = run.context(pool.get(), threads);
    for (const int n : sizes) {
      context->forget_all();
      for (int begin = 0; begin < kTokens; begin += n) {
        const int end = std::min(kTokens, begin + n);
        run.rows(*context, begin, end, tokens.data() + begin, row.data());
        compare(begin, end);
      }
    }
    // A step that drafts wrongly leaves cells behind, which later rows must not see.
    context->forget_all();
    std::vector<int32_t> ids;
    for (int begin = 0, n = 1; begin < kTokens; n = 1 + (n * 5 + 3) % 23) {
      const int right = std::min({1 + n / 2, n, kTokens - begin});
      ids.assign(tokens.begin() + begin, tokens.begin() + begin + right);
      for (int i = right; i < n; ++i) ids.push_back(100 + i);
      run.rows(*context, begin, begin + n, ids.data(), row.data());
      compare(begin, begin + right);
      context->keep(0, begin += right);
    }
  }

  const ThreadPoolHandle pool = make_thread_pool(2);
  const auto context = run.context(pool.get(), 2);
  double loss = 0;
  const int last = static_cast<int>(tokens.size()) - 1;
  for (int begin = 0; begin < last; begin += kMostRows) {
    const int end = std::min(last, begin + kMostRows);
    run.rows(*context, begin, end, tokens.data() + begin, row.data());
    for (int i = begin; i < end; ++i) {
      const float* logits = row.data() + static_cast<size_t>(i - begin) * n_vocab;
      double sum = 0;
      for (int id = 0; id < n_vocab; ++id) sum += std::exp(static_cast<double>(logits[id]));
      loss += std::log(sum) - logits[tokens[i + 1]];
    }
  }
  std::printf("{\"rows\": %ld, \"different\": %ld, \"perplexity\": %.6f, \"tokens\": %d}\n", compared, different,
              std::exp(loss / last), last);
  return 0;
}

}  // namespace
}  // namespace adaptive_spec

int main(int argc, char** argv) {
  const bool control = argc == 5 && std::strcmp(argv[4], "control") == 0;
  const bool quick = control || (argc == 5 && std::strcmp(argv[4], "quick") == 0);
  if (argc != 4 && !quick) {
    std::fprintf(stderr, "usage: whole_model MODEL TEXT KERNELS [quick|control]\n");
    return 2;
  }
  try {
    return adaptive_spec::check(argv[1], argv[2], argv[3], quick, control);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
