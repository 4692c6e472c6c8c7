// Prints what a pause costs whoever reads the same memory over and over, as a model's passes do: how fast memory of some
// sizes is read again after pauses, and how long a target's pass of three rows takes after them. On a machine whose
// third-level cache others use too, what isn't read for some milliseconds is read from memory.
//
//   pause_bench TARGET.gguf
//
// Two threads; each figure is a median over blocks in random order, in milliseconds.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "engine/clock.h"
#include "engine/context.h"
#include "engine/crew.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

constexpr int kThreads = 2, kBlocks = 8, kDropped = 10, kReads = 30;
constexpr int kRows = 3, kPromptTokens = 150;
constexpr double kPauses[] = {0, 1, 4, 16};
constexpr size_t kMegabytes[] = {8, 24, 64, 98, 200};

double median(std::vector<double>& of) {
  const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
  std::nth_element(of.begin(), middle, of.end());
  return *middle;
}

// Busy, so that no core sleeps and no clock falls: what is left is that nothing else was read.
void pause(double ms) {
  const double start = now_ms();
  while (now_ms() - start < ms) {
  }
}

// Reads memory with two threads that meet at its end, as ggml's do.
class Reader {
 public:
  explicit Reader(size_t most) : bytes_(most) {
    void* mapped = mmap(nullptr, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<char*>(mapped);
    madvise(memory_, most, MADV_HUGEPAGE);
    std::memset(memory_, 1, most);
    other_ = std::thread([this] {
      for (int seen = 0;;) {
        int turn = 0;
        while ((turn = turn_.load(std::memory_order_acquire)) == seen) {
        }
        if (turn < 0) return;
        seen = turn;
        read_half(1);
        done_.store(turn, std::memory_order_release);
      }
    });
  }
  ~Reader() {
    turn_ = -1;
    other_.join();
    munmap(memory_, bytes_);
  }
  void read(size_t bytes) {
    size_ = bytes;
    const int turn = turn_ + 1;
    turn_.store(turn, std::memory_order_release);
    read_half(0);
    while (done_.load(std::memory_order_acquire) != turn) {
    }
  }

 private:
  void read_half(int which) {
    const auto* words = reinterpret_cast<const uint64_t*>(memory_ + which * (size_ / 2));
    uint64_t sums[32] = {};  // enough of them that adding waits for nothing
    for (size_t i = 0; i < size_ / 2 / sizeof(uint64_t); i += 32)
      for (int j = 0; j < 32; ++j) sums[j] += words[i + j];
    for (const uint64_t sum : sums) kept_.fetch_xor(sum, std::memory_order_relaxed);
  }

  size_t bytes_, size_ = 0;
  char* memory_;
  std::thread other_;
  std::atomic<int> turn_{0}, done_{0};
  std::atomic<uint64_t> kept_{0};
};

// One line: the median of `run` after each pause.
void print(const char* what, const std::function<void()>& run) {
  std::vector<double> times[std::size(kPauses)];
  std::vector<size_t> order(std::size(kPauses));
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  test::Random random(1);
  for (int block = 0; block < kBlocks; ++block) {
    for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random.below(static_cast<int>(i) + 1)]);
    for (const size_t which : order) {
      for (int i = 0; i < kDropped + kReads; ++i) {
        pause(kPauses[which]);
        const double start = now_ms();
        run();
        if (i >= kDropped) times[which].push_back(now_ms() - start);
      }
    }
  }
  std::printf("%-24s", what);
  for (size_t i = 0; i < order.size(); ++i) std::printf("  after %4.0f ms: %5.2f", kPauses[i], median(times[i]));
  std::printf("\n");
}

int run(const char* path) {
  {
    Reader reader(kMegabytes[std::size(kMegabytes) - 1] << 20);
    for (const size_t megabytes : kMegabytes)
      print(("reading " + std::to_string(megabytes) + " MB").c_str(), [&] { reader.read(megabytes << 20); });
  }
  start_backend();
  const KernelSet* kernels = find_kernels("auto");
  const std::atomic<bool> abort{false};
  const ModelHandle model = load_model({.path = path, .kernels = kernels, .threads = kThreads});
  const Crew crew(kThreads);
  Context target(model.get(), {.context_size = 1024, .max_rows = kRows, .threads = kThreads, .kernels = kernels},
                 crew.pool(), &abort);
  test::Random random(2);
  const auto add = [&](int position, bool logits) { target.add(random.below(target.n_vocab()), position, 0, logits); };
  target.clear_batch();
  for (int i = 0; i < kPromptTokens; ++i) add(i, i == kPromptTokens - 1);
  target.decode();
  print("a pass of three rows", [&] {
    target.keep(0, kPromptTokens);
    target.clear_batch();
    for (int i = 0; i < kRows; ++i) add(kPromptTokens + i, true);
    target.decode();
  });
  return 0;
}

}  // namespace
}  // namespace adaptive_spec

int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "pause_bench TARGET.gguf\n");
    return 2;
  }
  return adaptive_spec::run(words[1]);
}
