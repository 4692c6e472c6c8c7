// Spreads memory over NUMA nodes: on a host with several, one node's channels are a fraction of the bandwidth.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace adaptive_spec {

// Address ranges of this process's private anonymous memory, in order.
std::vector<std::pair<uintptr_t, uintptr_t>> anonymous_memory();

// Binds what is mapped now and was not mapped at `before`, in pieces of 1 MB or more, to all nodes in turn
// (mbind, pages already touched are moved). Answers the bytes bound; -1 where the system has no mbind.
int64_t interleave_since(const std::vector<std::pair<uintptr_t, uintptr_t>>& before);

}  // namespace adaptive_spec
