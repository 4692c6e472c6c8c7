// One pool for engines that want all cores, and no thread left behind.
#include "engine/pool_share.h"

#include <ggml-cpu.h>

#include <atomic>
#include <thread>
#include <vector>

#include "engine/crew.h"
#include "engine/turn.h"
#include "test/harness.h"

namespace adaptive_spec {
namespace {

// Has another number of cores for as long as it lives.
class WithCores {
 public:
  explicit WithCores(int count) : before_(Cores::of_process().count()) { Cores::of_process().set_count(count); }
  ~WithCores() { Cores::of_process().set_count(before_); }

 private:
  const int before_;
};

// A graph to compute, of sums that no lost thread leaves right.
class Sums {
 public:
  Sums() {
    ctx_ = ggml_init({.mem_size = 16 << 20, .mem_buffer = nullptr, .no_alloc = false});
    ggml_tensor* ones = ggml_new_tensor_2d(ctx_, GGML_TYPE_F32, 64, 64);
    for (int i = 0; i < 64 * 64; ++i) static_cast<float*>(ones->data)[i] = 1;
    ggml_tensor* sums = ones;
    for (int i = 0; i < 20; ++i) sums = ggml_add(ctx_, sums, ones);
    last_ = sums;
    graph_ = ggml_new_graph(ctx_);
    ggml_build_forward_expand(graph_, sums);
  }
  ~Sums() { ggml_free(ctx_); }

  bool are_right_on(ggml_threadpool* pool, int threads) {
    ggml_cplan plan = ggml_graph_plan(graph_, threads, pool);
    std::vector<uint8_t> work(plan.work_size + 1);
    plan.work_data = work.data();
    if (ggml_graph_compute(graph_, &plan) != GGML_STATUS_SUCCESS) return false;
    bool right = true;
    for (int i = 0; i < 64 * 64; ++i) right &= static_cast<float*>(last_->data)[i] == 21;
    return right;
  }

 private:
  ggml_context* ctx_;
  ggml_tensor* last_;
  ggml_cgraph* graph_;
};

TEST("shared pools: engines that want more than half of the cores have one, others what fits side by side") {
  const WithCores cores(6);
  const ThreadPoolHandle a = share_thread_pool(4), b = share_thread_pool(4), c = share_thread_pool(6);
  CHECK(a == b);
  CHECK(a != c);
  std::vector<ThreadPoolHandle> twos;
  for (int i = 0; i < 6; ++i) twos.push_back(share_thread_pool(2));
  CHECK(twos[0] != twos[1] && twos[1] != twos[2] && twos[0] != twos[2]);
  for (int i = 0; i < 3; ++i) CHECK_EQUAL(twos[i].use_count(), 2);
}

TEST("shared pools: one thread has a pool of its own, which needs no turn") {
  const WithCores cores(2);
  CHECK(share_thread_pool(1) != share_thread_pool(1));
}

TEST("shared pools: the last one that lets go ends a pool, and the next one gets another") {
  const WithCores cores(2);
  ThreadPoolHandle a = share_thread_pool(2), b = share_thread_pool(2);
  const std::weak_ptr<ggml_threadpool> seen = a;
  a.reset();
  CHECK(!seen.expired());
  b.reset();
  CHECK(seen.expired());
  Sums sums;
  CHECK(sums.are_right_on(share_thread_pool(2).get(), 2));
}

TEST("shared pools: engines that come and go, compute and fall idle at once lose no graph") {
  const WithCores cores(2);
  std::atomic<int> wrong{0};
  std::vector<std::thread> engines;
  for (int engine = 0; engine < 4; ++engine)
    engines.emplace_back([&, engine] {
      Sums sums;
      for (int life = 0; life < 5; ++life) {
        Crew crew(2 + engine % 2);
        for (int step = 0; step < 20; ++step) {
          const int threads = 1 + (step + engine) % crew.threads();  // a draft model uses fewer
          {
            Cores& all = Cores::of_process();
            const Turn turn(all, crew.pool(), threads);
            wrong += !sums.are_right_on(crew.pool(), threads);
            if (all.is_wanted_elsewhere(crew.pool())) ggml_threadpool_pause(crew.pool());
          }
          if (step % 7 == engine) crew.pause();
        }
      }
    });
  for (std::thread& engine : engines) engine.join();
  CHECK_EQUAL(wrong.load(), 0);
}

}  // namespace
}  // namespace adaptive_spec
