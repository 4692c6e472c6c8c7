// Weak references by key: the last engine that lets go of a model frees it.
#include "engine/model_share.h"

#include <chrono>
#include <map>
#include <memory>
#include <mutex>

namespace adaptive_spec {
namespace {

struct Entry {
  std::timed_mutex loading;
  std::weak_ptr<llama_model> model;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Entry>> entries;
};

// Never destroyed: engines may end while the process does.
Registry& registry() {
  static auto* all = new Registry;
  return *all;
}

std::shared_ptr<Entry> entry_of(const std::string& key) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  // Nobody asks for those any more whose files have changed, say.
  std::erase_if(all.entries, [](const auto& one) { return one.second.use_count() == 1 && one.second->model.expired(); });
  std::shared_ptr<Entry>& entry = all.entries[key];
  if (!entry) entry = std::make_shared<Entry>();
  return entry;
}

}  // namespace

ModelHandle share_model(const std::string& key, const std::function<ModelHandle()>& load,
                        const std::function<bool()>& goes_on) {
  const std::shared_ptr<Entry> entry = entry_of(key);
  std::unique_lock lock(entry->loading, std::defer_lock);
  while (!lock.try_lock_for(std::chrono::milliseconds(20)))
    if (!goes_on()) return nullptr;
  if (ModelHandle held = entry->model.lock()) return held;
  ModelHandle loaded = load();
  entry->model = loaded;
  return loaded;
}

}  // namespace adaptive_spec
