// Milliseconds of a clock that never jumps.
#pragma once

#include <chrono>

namespace adaptive_spec {

inline double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace adaptive_spec
