// The thread pools of this process, shared by its engines: each sleeps or spins while another one computes, so a pool
// for each would be threads for nothing.
#pragma once

#include "engine/context.h"

namespace adaptive_spec {

// A pool of so many threads, the engine's own included: another engine's where there is one. Pools of one size are only
// as many as fit side by side on the cores, so that engines that could compute at once don't wait for each other: one
// where an engine uses more than half of them. The last engine that lets go of a pool ends its threads. Computing on it
// takes a Turn.
ThreadPoolHandle share_thread_pool(int threads);

}  // namespace adaptive_spec
