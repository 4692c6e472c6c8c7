// Keeps the compute graphs of several batch shapes, since llama.cpp keeps the last one alone and a depth that changes
// from step to step would have it build and place a graph at nearly every one.
#pragma once

#include <memory>

struct llama_context;

namespace adaptive_spec {

// Swaps what a context holds of its last graph: the graph, and the scheduler with its compute buffer. Whether a graph
// fits a batch stays llama.cpp's to judge, as it does of the one that it keeps; where it doesn't, it is built anew.
// Has to go before the context does.
class GraphShelf {
 public:
  explicit GraphShelf(llama_context* context);
  GraphShelf(const GraphShelf&) = delete;
  GraphShelf& operator=(const GraphShelf&) = delete;
  ~GraphShelf();

  // Before a batch of so many rows, of which so many have logits, is decoded.
  void take(int rows, int rows_with_logits);

 private:
  struct Shelf;
  std::unique_ptr<Shelf> shelf_;
};

}  // namespace adaptive_spec
