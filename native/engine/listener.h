// Who hears what the engine does. Everything here is called on the engine thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/report.h"

namespace adaptive_spec {

struct LoadedInfo {
  std::string description;  // of the target, as llama.cpp words it
  int vocab_size = 0, context_size = 0, trained_context = 0;
  uint64_t parameters = 0, model_bytes = 0;
  int threads = 1, draft_threads = 1;
  std::string kernels;  // what computes the matrix products: amx, avx512, avx2 or ggml
  bool can_roll_back = true;
  bool reuses = true;  // what sessions have read
  bool saves = true;   // and as a file
  int branches = 0;  // that a draft may have beside its chain
  bool has_chat_template = false;
  std::vector<std::string> drafters;
  double load_ms = 0;
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_progress(double done) = 0;  // loading, 0 to 1
  virtual void on_loaded(LoadedInfo info) = 0;
  virtual void on_load_failed(std::string code, std::string message, std::string hint) = 0;
  virtual void on_warning(std::string code, std::string message) = 0;
  // A report with a question wants PlanDesk::answer; `slot` is where to.
  virtual void on_step(int64_t request, int slot, StepReport report) = 0;
  virtual void on_end(int64_t request, RequestResult result) = 0;
  virtual void on_measured(int64_t measurement, std::vector<double> ms) = 0;  // empty where it was cut short
  virtual void on_closed() = 0;  // the last call
  // Whether somebody waits for what a request writes; where nobody does, it may be told late. Any thread may change it.
  virtual bool is_followed() const { return true; }
  // What was told since the last flush may now be passed on, all at once.
  virtual void flush() = 0;
};

}  // namespace adaptive_spec
