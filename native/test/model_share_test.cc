// Engines of one process hold a model's weights once, and free them with the last of them.
#include "engine/model_share.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "test/harness.h"

namespace adaptive_spec {
namespace {

std::string path_of(const std::string& name) {
  const char* folder = std::getenv("ADAPTIVE_SPEC_TINY_MODELS");
  if (!folder) throw std::runtime_error("set ADAPTIVE_SPEC_TINY_MODELS to where test/tiny-models.ts wrote them");
  return std::string(folder) + "/" + name + ".gguf";
}
std::string target() { return path_of("target"); }

TEST("models: one file is loaded once while somebody holds it, and anew afterwards") {
  start_backend();
  const ModelOptions options{.path = path_of("draftTooBig")};  // the target is held by other tests, for good
  ModelHandle first = load_model(options);
  const ModelHandle second = load_model(options);
  CHECK(first == second);
  const std::weak_ptr<llama_model> seen = first;
  first.reset();
  CHECK(load_model(options) == second);
  CHECK(seen.use_count() == 1);
}

TEST("models: what is computed or placed otherwise is no shared model") {
  start_backend();
  const std::string path = target();
  const ModelHandle plain = load_model({.path = path});
  CHECK(load_model({.path = path, .mmap = false}) != plain);
  CHECK(load_model({.path = path, .placement = "interleave"}) != plain);
  if (const KernelSet* kernels = find_kernels("auto")) CHECK(load_model({.path = path, .kernels = kernels}) != plain);
}

TEST("models: threads that want one at once get the same, loaded by one of them") {
  start_backend();
  constexpr int kThreads = 6;
  std::atomic<int> loads{0}, ready{0};
  std::vector<ModelHandle> models(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] {
      for (++ready; ready < kThreads;) std::this_thread::yield();
      models[i] = share_model(
          "of this test",
          [&] {
            ++loads;
            return load_model({.path = target()});
          },
          [] { return true; });
    });
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(loads.load(), 1);
  for (const ModelHandle& model : models) CHECK(model && model == models[0]);
}

TEST("models: who waits for another's load gives up when told to, and a load that fails is tried again") {
  start_backend();
  std::atomic<bool> begun{false}, leave{false};
  std::thread loader([&] {
    try {
      share_model(
          "slow", [&]() -> ModelHandle {
            begun = true;
            while (!leave) std::this_thread::yield();
            throw EngineError("MODEL_INVALID", "as this test wants", "");
          },
          [] { return true; });
    } catch (const EngineError&) {
      // What is tested comes next.
    }
  });
  while (!begun) std::this_thread::yield();
  CHECK(!share_model("slow", [] { return ModelHandle(); }, [] { return false; }));
  leave = true;
  loader.join();
  CHECK(share_model("slow", [] { return load_model({.path = target()}); }, [] { return true; }) != nullptr);
}

}  // namespace
}  // namespace adaptive_spec
