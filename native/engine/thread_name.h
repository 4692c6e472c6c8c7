// What `top -H`, `perf` and /proc call a thread.
#pragma once

#ifdef __linux__
#include <pthread.h>
#endif

namespace adaptive_spec {

// At most 15 characters. The threads that it makes inherit the name.
inline void name_this_thread([[maybe_unused]] const char* name) {
#ifdef __linux__
  pthread_setname_np(pthread_self(), name);
#endif
}

}  // namespace adaptive_spec
