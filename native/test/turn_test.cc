// Engines that compute at once never want more cores than there are, and none is passed over.
#include "engine/turn.h"

#include <atomic>
#include <thread>
#include <vector>

#include "test/harness.h"

namespace adaptive_spec {
namespace {

TEST("turns: no more threads compute at once than there are cores") {
  Cores cores(4);
  std::atomic<int> computing{0}, most{0};
  std::vector<std::thread> engines;
  for (const int threads : {1, 2, 3, 4, 9, 1, 2})
    engines.emplace_back([&, threads] {
      const int wanted = threads < 4 ? threads : 4;
      for (int i = 0; i < 300; ++i) {
        const Turn turn(cores, threads);
        const int now = computing += wanted;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        std::this_thread::yield();
        computing -= wanted;
      }
    });
  for (std::thread& engine : engines) engine.join();
  CHECK(most <= 4);
  CHECK_EQUAL(computing.load(), 0);
  CHECK(!cores.is_wanted());
}

TEST("turns: who fits beside another doesn't wait for it") {
  Cores cores(2);
  const Turn one(cores, 1);
  const Turn other(cores, 1);
  CHECK(!cores.is_wanted());
}

TEST("turns: first come, first served, also where a later one would fit sooner") {
  Cores cores(2);
  std::vector<int> order;
  std::mutex mutex;
  std::vector<std::thread> engines;
  {
    const Turn held(cores, 1);
    const auto wait_for_turn = [&](int name, int threads) {
      engines.emplace_back([&, name, threads] {
        const Turn turn(cores, threads);
        const std::lock_guard lock(mutex);
        order.push_back(name);
      });
    };
    wait_for_turn(1, 2);
    while (!cores.is_wanted()) std::this_thread::yield();
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
