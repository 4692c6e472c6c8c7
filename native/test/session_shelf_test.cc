// Which slot a request gets, and what of a conversation is left in it.
#include "engine/session_shelf.h"

#include "test/harness.h"

namespace adaptive_spec {
namespace {

using Tokens = std::vector<int32_t>;

TEST("sessions: a prompt has in common with the cache what both begin with but its last token") {
  const Tokens cached = {1, 2, 3, 4};
  CHECK(common_prefix(cached, Tokens{1, 2, 9, 4}) == 2);
  CHECK(common_prefix(cached, Tokens{1, 2, 3, 4, 5}) == 4);
  CHECK(common_prefix(cached, Tokens{1, 2, 3, 4}) == 3);
  CHECK(common_prefix(cached, Tokens{1, 2}) == 1);
  CHECK(common_prefix(cached, Tokens{1}) == 0);
  CHECK(common_prefix(cached, Tokens{9, 2, 3}) == 0);
  CHECK(common_prefix(cached, Tokens{}) == 0);
  CHECK(common_prefix(Tokens{}, Tokens{1, 2}) == 0);
}

TEST("sessions: a session gets its own slot and others the empty one then the least recently used") {
  SessionShelf shelf(3);
  const std::vector<bool> idle(3, false);
  shelf.put(1, 7, {1, 2});
  CHECK(shelf.slot_for(7, idle) == 1);
  CHECK(shelf.slot_for(0, idle) == 0);
  CHECK(shelf.slot_for(8, idle) == 0);
  shelf.put(0, 8, {3});
  shelf.put(2, 9, {4});
  CHECK(shelf.slot_for(0, idle) == 1);
  CHECK(shelf.slot_for(5, idle) == 1);
  CHECK(shelf.slot_for(9, idle) == 2);
  CHECK(shelf.slot_for(0, {false, true, false}) == 0);
  CHECK(shelf.slot_for(0, {true, true, true}) == -1);
  // Used again, it is the last to go.
  shelf.put(1, 7, {1, 2, 3});
  CHECK(shelf.slot_for(5, idle) == 0);
}

TEST("sessions: a slot gives its tokens to their own session alone and once") {
  SessionShelf shelf(2);
  shelf.put(0, 7, {1, 2});
  CHECK(shelf.slot_of(7) == 0);
  CHECK(shelf.holds(0) && !shelf.holds(1));
  CHECK((shelf.take(0, 7) == Tokens{1, 2}));
  CHECK(shelf.take(0, 7).empty());
  CHECK(shelf.slot_of(7) == -1);
  CHECK(shelf.slot_of(0) == -1);
  shelf.put(0, 7, {1, 2});
  CHECK(shelf.take(0, 8).empty());
  CHECK(!shelf.holds(0));
  shelf.put(0, 7, {1, 2});
  CHECK(shelf.take(0, 0).empty());
  CHECK(!shelf.holds(0));
}

}  // namespace
}  // namespace adaptive_spec
