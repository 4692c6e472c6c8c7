// Weak references by number of threads.
#include "engine/pool_share.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <vector>

#include "engine/turn.h"

namespace adaptive_spec {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<int, std::vector<std::weak_ptr<ggml_threadpool>>> pools;  // by number of threads
};

// Never destroyed: engines may end while the process does.
Registry& registry() {
  static auto* all = new Registry;
  return *all;
}

}  // namespace

ThreadPoolHandle share_thread_pool(int threads) {
  if (threads == 1) return make_thread_pool(1);  // has no thread but the engine's
  const int most = std::max(1, Cores::of_process().count() / threads);
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  auto& pools = all.pools[threads];
  std::vector<ThreadPoolHandle> live;
  for (const auto& pool : pools)
    if (ThreadPoolHandle held = pool.lock()) live.push_back(std::move(held));
  pools.assign(live.begin(), live.end());
  if (static_cast<int>(live.size()) < most) {
    ThreadPoolHandle made = make_thread_pool(threads);
    pools.push_back(made);
    return made;
  }
  return *std::min_element(live.begin(), live.end(),
                           [](const auto& a, const auto& b) { return a.use_count() < b.use_count(); });
}

}  // namespace adaptive_spec
