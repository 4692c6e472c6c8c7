// What `top -H`, `perf` and /proc call a thread, and how much it gives way.
#pragma once

#ifdef __linux__
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace adaptive_spec {

// At most 15 characters. The threads that it makes inherit the name.
inline void name_this_thread([[maybe_unused]] const char* name) {
#ifdef __linux__
  pthread_setname_np(pthread_self(), name);
#endif
}

// Threads that compute come first: one that loses its core for a moment holds up all that meet it.
inline void let_others_go_first() {
#ifdef __linux__
  const auto self = static_cast<id_t>(syscall(SYS_gettid));
  setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + 10);
#endif
}

}  // namespace adaptive_spec
