// Engines that compute at once never want more cores than there are, nor one pool, and none is passed over.
#include "engine/turn.h"

#include <atomic>
#include <thread>
#include <vector>

#include "test/harness.h"

namespace adaptive_spec {
namespace {

// Pools for the queue to tell apart; nothing computes.
const ggml_threadpool* pool(int i) {
  static const char pools[8] = {};
  return reinterpret_cast<const ggml_threadpool*>(pools + i);
}

TEST("turns: no more threads compute at once than there are cores, and on each pool one engine") {
  Cores cores(4);
  std::atomic<int> computing{0}, most{0};
  std::atomic<int> on_pool[3] = {};
  std::atomic<bool> met{false};
  std::vector<std::thread> engines;
  for (const int threads : {1, 2, 3, 4, 9, 1, 2})
    engines.emplace_back([&, threads] {
      const int wanted = threads < 4 ? threads : 4;
      for (int i = 0; i < 300; ++i) {
        const int which = (threads + i) % 3;
        const Turn turn(cores, pool(which), threads);
        if (++on_pool[which] > 1) met = true;
        const int now = computing += wanted;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        std::this_thread::yield();
        computing -= wanted;
        --on_pool[which];
      }
    });
  for (std::thread& engine : engines) engine.join();
  CHECK(most <= 4);
  CHECK(!met);
  CHECK_EQUAL(computing.load(), 0);
  CHECK(!cores.is_wanted_elsewhere(nullptr));
}

TEST("turns: who fits beside another doesn't wait for it") {
  Cores cores(2);
  const Turn one(cores, pool(0), 1);
  const Turn other(cores, pool(1), 1);
  CHECK(!cores.is_wanted_elsewhere(nullptr));
}

TEST("turns: who wants the pool that another computes on waits, though there are cores") {
  Cores cores(4);
  std::atomic<bool> had_it{false};
  std::thread other;
  {
    const Turn one(cores, pool(0), 1);
    other = std::thread([&] {
      const Turn turn(cores, pool(0), 1);
      had_it = true;
    });
    while (!cores.is_wanted_elsewhere(nullptr)) std::this_thread::yield();
    CHECK(!had_it);
    CHECK(!cores.is_wanted_elsewhere(pool(0)));  // it would only be put to sleep and woken again
    CHECK(cores.is_wanted_elsewhere(pool(1)));
  }
  other.join();
  CHECK(had_it);
}

TEST("turns: a pool is put to sleep only while nobody computes on it") {
  Cores cores(4);
  int slept = 0;
  {
    const Turn turn(cores, pool(0), 1);
    cores.if_free(pool(0), [&] { ++slept; });
    CHECK_EQUAL(slept, 0);
    cores.if_free(pool(1), [&] { ++slept; });
    CHECK_EQUAL(slept, 1);
  }
  cores.if_free(pool(0), [&] { ++slept; });
  CHECK_EQUAL(slept, 2);
}

TEST("turns: first come, first served, also where a later one would fit sooner") {
  Cores cores(2);
  std::vector<int> order;
  std::mutex mutex;
  std::vector<std::thread> engines;
  {
    const Turn held(cores, pool(0), 1);
    const auto wait_for_turn = [&](int name, int threads) {
      engines.emplace_back([&, name, threads] {
        const Turn turn(cores, pool(name), threads);
        const std::lock_guard lock(mutex);
        order.push_back(name);
      });
    };
    wait_for_turn(1, 2);
    while (!cores.is_wanted_elsewhere(nullptr)) std::this_thread::yield();
    wait_for_turn(2, 1);
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    CHECK(order.empty());
  }
  for (std::thread& engine : engines) engine.join();
  CHECK_EQUAL(order.size(), size_t{2});
  CHECK_EQUAL(order[0], 1);
}

}  // namespace
}  // namespace adaptive_spec
