// mbind over what a load has mapped. llama.cpp gives out no addresses, so the map before and after tells.
#include "engine/numa.h"

#ifdef __linux__
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#endif

namespace adaptive_spec {

#ifdef __linux__

std::vector<std::pair<uintptr_t, uintptr_t>> anonymous_memory() {
  std::vector<std::pair<uintptr_t, uintptr_t>> ranges;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long start = 0, end = 0, inode = 0;
    char permissions[5] = "";
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %*s %*s %lu", &start, &end, permissions, &inode) == 4 &&
        inode == 0 && permissions[1] == 'w' && line.find('[') == std::string::npos)
      ranges.emplace_back(start, end);
  }
  return ranges;
}

namespace {

// The nodes that exist, as mbind wants them: a bit each. "0-3,8" in the file.
unsigned long nodes_online() {
  std::ifstream file("/sys/devices/system/node/online");
  unsigned long mask = 0;
  for (std::string part; std::getline(file, part, ',');) {
    unsigned first = 0, last = 0;
    const int n = std::sscanf(part.c_str(), "%u-%u", &first, &last);
    if (n < 1) continue;
    for (unsigned node = first; node <= (n == 2 ? last : first) && node < 8 * sizeof mask; ++node) mask |= 1UL << node;
  }
  return mask ? mask : 1;
}

}  // namespace

int64_t interleave_since(const std::vector<std::pair<uintptr_t, uintptr_t>>& before) {
  constexpr uintptr_t kSmallest = 1 << 20;
  const unsigned long nodes = nodes_online();
  int64_t bound = 0;
  for (auto [start, end] : anonymous_memory()) {
    // A region may have grown: what was there before is left alone.
    for (const auto& [old_start, old_end] : before) {
      if (old_end <= start || old_start >= end) continue;
      if (old_start <= start) start = std::min(end, old_end);
      else end = old_start;
    }
    if (end < start + kSmallest) continue;
    if (syscall(SYS_mbind, start, end - start, MPOL_INTERLEAVE, &nodes, 8 * sizeof nodes + 1, MPOL_MF_MOVE) != 0)
      return bound > 0 ? bound : -1;
    bound += static_cast<int64_t>(end - start);
  }
  return bound;
}

#else

std::vector<std::pair<uintptr_t, uintptr_t>> anonymous_memory() { return {}; }
int64_t interleave_since(const std::vector<std::pair<uintptr_t, uintptr_t>>&) { return -1; }

#endif

}  // namespace adaptive_spec
