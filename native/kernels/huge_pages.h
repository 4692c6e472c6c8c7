// The cache that attention reads, in huge pages where the system has them: where sequences share it, a sequence's cells
// lie here and there, and finding their pages would take as long as reading them.
#pragma once

#include <vector>

struct ggml_backend_buffer;
struct ggml_tensor;

namespace adaptive_spec {

// Notes the buffers that hold what attention reads, while it exists, of graphs that its thread computes.
class CacheWatch {
 public:
  CacheWatch();
  ~CacheWatch();
  CacheWatch(const CacheWatch&) = delete;
  CacheWatch& operator=(const CacheWatch&) = delete;

  // Puts them into huge pages, zeroed: nobody may need yet what they hold.
  void renew() const;

  // To be called with the keys and values of attention, on the thread that computes the graph.
  static void note(const ggml_tensor* cache);

 private:
  std::vector<ggml_backend_buffer*> buffers_;
};

}  // namespace adaptive_spec
