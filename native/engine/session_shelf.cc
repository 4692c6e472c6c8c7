// Least recently used goes first.
#include "engine/session_shelf.h"

#include <algorithm>
#include <utility>

namespace adaptive_spec {

int common_prefix(std::span<const int32_t> cached, std::span<const int32_t> prompt) {
  if (prompt.empty()) return 0;
  const auto most = std::min(cached.size(), prompt.size() - 1);
  const auto parting = std::mismatch(cached.begin(), cached.begin() + static_cast<int64_t>(most), prompt.begin());
  return static_cast<int>(parting.first - cached.begin());
}

int SessionShelf::slot_for(int64_t session, const std::vector<bool>& busy) const {
  int best = -1;
  for (int i = 0; i < static_cast<int>(slots_.size()); ++i) {
    if (busy[i]) continue;
    if (session != 0 && slots_[i].session == session) return i;
    // An empty slot was never used, or not since.
    if (best < 0 || slots_[i].used < slots_[best].used) best = i;
  }
  return best;
}

void SessionShelf::put(int slot, int64_t session, std::vector<int32_t> tokens) {
  slots_[slot] = {session, std::move(tokens), ++uses_};
}

std::vector<int32_t> SessionShelf::take(int slot, int64_t session) {
  Slot taken = std::exchange(slots_[slot], {});
  return session != 0 && taken.session == session ? std::move(taken.tokens) : std::vector<int32_t>{};
}

int SessionShelf::slot_of(int64_t session) const {
  for (size_t i = 0; i < slots_.size(); ++i)
    if (session != 0 && slots_[i].session == session) return static_cast<int>(i);
  return -1;
}

}  // namespace adaptive_spec
