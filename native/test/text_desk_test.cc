// Jobs run in order, one at a time in the whole process, and never after a close.
#include "engine/text_desk.h"

#include <atomic>
#include <future>
#include <vector>

#include "test/harness.h"

namespace adaptive_spec {
namespace {

TEST("texts: jobs run in the order in which they came, and one that is dropped does not") {
  TextDesk desk;
  std::promise<void> begun, go_on, done;
  std::vector<int> order;
  desk.add(1, [&] {
    begun.set_value();
    go_on.get_future().wait();
    order.push_back(1);
  });
  begun.get_future().wait();
  for (const int id : {2, 3, 4}) desk.add(id, [&, id] { order.push_back(id); });
  desk.add(5, [&] { done.set_value(); });
  CHECK(!desk.drop(1));
  CHECK(desk.drop(3));
  CHECK(!desk.drop(3));
  go_on.set_value();
  done.get_future().wait();
  CHECK(order == (std::vector<int>{1, 2, 4}));
}

TEST("texts: a close ends the job that runs and drops those that wait") {
  std::atomic<int> ran{0};
  TextDesk desk;
  std::promise<void> begun, go_on;
  desk.add(1, [&] {
    begun.set_value();
    go_on.get_future().wait();
    ++ran;
  });
  begun.get_future().wait();
  for (int id = 2; id < 6; ++id) desk.add(id, [&] { ran += 100; });
  std::thread closing([&] { desk.close(); });
  // Where an added job can't be dropped again, the close has taken hold.
  do desk.add(6, [&] { ran += 100; });
  while (desk.drop(6));
  go_on.set_value();
  closing.join();
  CHECK_EQUAL(ran.load(), 1);
}

TEST("texts: those of several engines wait for each other, and an engine that waits can be closed") {
  TextDesk one, other;
  std::promise<void> begun, go_on;
  std::atomic<bool> other_ran{false};
  one.add(1, [&] {
    begun.set_value();
    go_on.get_future().wait();
  });
  begun.get_future().wait();
  other.add(1, [&] { other_ran = true; });
  other.close();  // would never come back if it waited for the first engine's
  CHECK(!other_ran);
  go_on.set_value();
}

}  // namespace
}  // namespace adaptive_spec
