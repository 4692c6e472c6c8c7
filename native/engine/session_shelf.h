// What conversations leave in the slots between their requests, and which slot a request gets: no llama.cpp in here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace adaptive_spec {

// A conversation out of its slot: its tokens, and what the caches hold of them, in llama.cpp's own form.
struct SessionState {
  std::vector<int32_t> tokens;  // all of them in the target's cache
  std::vector<uint8_t> target, draft;
  int draft_tokens = 0;  // of `tokens`, the first so many are in the draft's cache
};

// Tokens that a prompt and what is cached begin with alike. The prompt's last one is never counted: its row is still to
// be computed.
int common_prefix(std::span<const int32_t> cached, std::span<const int32_t> prompt);

// One conversation per slot at most.
class SessionShelf {
 public:
  explicit SessionShelf(int slots) : slots_(slots) {}

  // The slot for a request of `session` (0: of none) among those that aren't busy; -1 where all are. Its own; else an
  // empty one; else that of the session that was used least recently.
  int slot_for(int64_t session, const std::vector<bool>& busy) const;
  // A request of `session` has ended and left these tokens in the slot's cells.
  void put(int slot, int64_t session, std::vector<int32_t> tokens);
  // The slot is given to `session`: the tokens that it left there, which are off the shelf now. None where the slot
  // holds another session's, which is given up, or nothing.
  std::vector<int32_t> take(int slot, int64_t session);
  bool holds(int slot) const { return slots_[slot].session != 0; }
  // The slot of a session; -1: it has none.
  int slot_of(int64_t session) const;

 private:
  struct Slot {
    int64_t session = 0;  // 0: empty
    std::vector<int32_t> tokens;
    uint64_t used = 0;
  };
  std::vector<Slot> slots_;
  uint64_t uses_ = 0;
};

}  // namespace adaptive_spec
