// Tests of PlanDesk: one open question a slot, deadlines, late answers, interrupts, and many threads at once.
#include "engine/plan_desk.h"

#include <atomic>
#include <deque>
#include <thread>

#include "engine/clock.h"
#include "test/harness.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

// Long enough that a wait which lasts until it is seen as one that nothing ended.
constexpr double kLongMs = 20'000;

int depth_of(const std::optional<Plan>& plan) { return plan ? plan->depth : -1; }

double time_of_wait(PlanDesk& desk, double deadline_ms) {
  const double start = now_ms();
  desk.wait(deadline_ms);
  return now_ms() - start;
}

TEST("plans: while a question is open no other is asked") {
  PlanDesk desk(2);
  CHECK(!desk.waiting());
  const int64_t question = desk.ask(0);
  CHECK(question > 0);
  CHECK_EQUAL(desk.ask(0), 0);
  CHECK(desk.ask(1) > question);  // slots don't share questions
  CHECK(desk.waiting());
}

TEST("plans: an answer is taken once, and ends the question") {
  PlanDesk desk(1);
  const int64_t question = desk.ask(0);
  Plan answer{.depth = 5};
  answer.stop.min_probability = 0.25;
  desk.answer(0, question, answer);
  CHECK(!desk.waiting());
  const std::optional<Plan> plan = desk.take(0);
  REQUIRE(plan.has_value());
  CHECK_EQUAL(plan->depth, 5);
  CHECK_EQUAL(plan->stop.min_probability, 0.25);
  CHECK(!desk.take(0));
  CHECK(desk.ask(0) > question);
}

TEST("plans: an answer that comes before the wait ends it at once") {
  PlanDesk desk(1);
  desk.answer(0, desk.ask(0), {.depth = 1});
  CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
}

TEST("plans: nothing waits for an early question until it is pressed") {
  PlanDesk desk(2);
  const int64_t early = desk.ask(0, true);
  CHECK(early > 0);
  CHECK(!desk.waiting());
  CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
  desk.answer(1, desk.ask(1), {.depth = 2});
  CHECK(!desk.waiting());
  desk.press(0);
  CHECK(desk.waiting());
  desk.answer(0, early, {.depth = 3});
  CHECK(!desk.waiting());
  CHECK_EQUAL(depth_of(desk.take(0)), 3);
}

TEST("plans: an early question is overdue only once it was pressed") {
  PlanDesk desk(1);
  desk.ask(0, true);
  desk.wait(0);
  desk.press(0);
  CHECK(desk.waiting());
  desk.wait(0);
  CHECK(!desk.waiting());
}

TEST("plans: an answer from another thread ends the wait") {
  PlanDesk desk(1);
  const int64_t question = desk.ask(0);
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    desk.answer(0, question, {.depth = 3});
  });
  CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
  other.join();
  CHECK_EQUAL(depth_of(desk.take(0)), 3);
}

TEST("plans: the wait is for all open questions") {
  PlanDesk desk(3);
  desk.answer(0, desk.ask(0), {.depth = 1});
  const int64_t question = desk.ask(2);
  CHECK(desk.waiting());
  std::thread other([&] { desk.answer(2, question, {.depth = 2}); });
  CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
  other.join();
  CHECK_EQUAL(depth_of(desk.take(0)), 1);
  CHECK_EQUAL(depth_of(desk.take(1)), -1);
  CHECK_EQUAL(depth_of(desk.take(2)), 2);
}

TEST("plans: without an answer the wait ends at the deadline, not before, and isn't repeated") {
  for (double deadline_ms : {0.0, 1.0, 20.0}) {
    PlanDesk desk(1);
    desk.ask(0);
    CHECK(time_of_wait(desk, deadline_ms) >= deadline_ms);
    CHECK(!desk.take(0));
    CHECK(!desk.waiting());
    CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
    CHECK_EQUAL(desk.ask(0), 0);
    CHECK(!desk.waiting());
  }
}

TEST("plans: a late answer sets the next plan, and no later one") {
  PlanDesk desk(1);
  const int64_t first = desk.ask(0);
  desk.wait(0);
  CHECK(!desk.take(0));
  CHECK_EQUAL(desk.ask(0), 0);  // steps go on unasked
  desk.answer(0, first, {.depth = 7});
  CHECK_EQUAL(depth_of(desk.take(0)), 7);
  CHECK(desk.ask(0) > first);
  CHECK(desk.waiting());
  CHECK(!desk.take(0));
}

// A controller that always needs a little longer than the deadline would otherwise never be heard.
TEST("plans: a late answer that comes just before the next question isn't lost") {
  PlanDesk desk(1);
  const int64_t first = desk.ask(0);
  desk.wait(0);
  CHECK(!desk.take(0));
  desk.answer(0, first, {.depth = 7});  // while the target verifies
  CHECK(desk.ask(0) > first);
  desk.wait(0);
  CHECK_EQUAL(depth_of(desk.take(0)), 7);
}

TEST("plans: an answer in time is preferred to a late one") {
  PlanDesk desk(1);
  const int64_t first = desk.ask(0);
  desk.wait(0);
  CHECK(!desk.take(0));
  desk.answer(0, first, {.depth = 7});
  const int64_t second = desk.ask(0);
  desk.answer(0, second, {.depth = 2});
  CHECK_EQUAL(depth_of(desk.take(0)), 2);
  CHECK(!desk.take(0));
}

TEST("plans: an answer counts once, and only under its own number and slot") {
  PlanDesk desk(2);
  const int64_t question = desk.ask(0);
  for (int64_t wrong : {int64_t{0}, int64_t{-1}, question + 1}) desk.answer(0, wrong, {.depth = 9});
  desk.answer(1, question, {.depth = 9});
  CHECK(desk.waiting());
  CHECK(!desk.take(0));
  CHECK(!desk.take(1));
  desk.answer(0, question, {.depth = 1});
  desk.answer(0, question, {.depth = 2});
  CHECK_EQUAL(depth_of(desk.take(0)), 1);
  desk.answer(0, question, {.depth = 3});
  CHECK(!desk.take(0));
  desk.answer(1, 0, {.depth = 9});  // a slot that asks nothing
  CHECK(!desk.take(1));
}

TEST("plans: a forgotten slot takes no answer, not even for who has it next") {
  PlanDesk desk(1);
  const int64_t gone = desk.ask(0);
  desk.forget(0);
  CHECK(!desk.waiting());
  desk.answer(0, gone, {.depth = 9});
  CHECK(!desk.take(0));
  const int64_t question = desk.ask(0);
  CHECK(question > gone);
  desk.answer(0, gone, {.depth = 9});
  CHECK(desk.waiting());
  CHECK(!desk.take(0));
  desk.answer(0, question, {.depth = 1});
  CHECK_EQUAL(depth_of(desk.take(0)), 1);

  desk.answer(0, desk.ask(0), {.depth = 9});
  desk.forget(0);
  CHECK(!desk.take(0));  // nor an answer that was there already
}

TEST("plans: a slot that is overdue holds up no other") {
  PlanDesk desk(2);
  desk.ask(0);
  desk.wait(0);
  const int64_t question = desk.ask(1);
  CHECK(desk.waiting());
  std::thread other([&] { desk.answer(1, question, {.depth = 4}); });
  CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
  other.join();
  CHECK_EQUAL(depth_of(desk.take(1)), 4);
  CHECK_EQUAL(desk.ask(0), 0);  // the overdue one is still open
}

TEST("plans: an interrupt ends the wait of now, before it or within it, and no later one") {
  PlanDesk desk(1);
  const int64_t first = desk.ask(0);
  desk.interrupt(false);
  CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
  desk.answer(0, first, {.depth = 6});  // the question is still open
  CHECK_EQUAL(depth_of(desk.take(0)), 6);

  desk.ask(0);
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    desk.interrupt(false);
  });
  CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
  other.join();

  desk.forget(0);
  desk.ask(0);
  CHECK(time_of_wait(desk, 20) >= 20);
}

TEST("plans: a closed desk never waits again, whatever is asked") {
  PlanDesk desk(2);
  desk.ask(0);
  std::thread other([&] { desk.interrupt(true); });
  CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
  other.join();
  for (int i = 0; i < 3; ++i) {
    desk.ask(0);
    desk.ask(1);
    CHECK(time_of_wait(desk, kLongMs) < kLongMs / 2);
    desk.interrupt(false);
  }
}

// Threads that answer: in time, late, twice, under old numbers, while others interrupt. A plan's depth is the
// number of the question that it answers.
TEST("plans: with many threads each plan is the slot's own, newer than the one before, and taken once") {
  constexpr int kSlots = 4, kRounds = 4000;
  struct Asked {
    int slot;
    int64_t question;
  };
  PlanDesk desk(kSlots);
  std::mutex mutex;
  std::deque<Asked> open;
  std::atomic<bool> done = false;

  const auto answerer = [&](uint32_t seed) {
    test::Random random(seed);
    Asked old{0, 0};
    while (!done) {
      Asked asked{0, 0};
      {
        const std::lock_guard lock(mutex);
        if (!open.empty()) {
          asked = open.front();
          open.pop_front();
        }
      }
      if (asked.question == 0) {
        std::this_thread::yield();
        continue;
      }
      if (random.uniform() < 0.1) std::this_thread::sleep_for(std::chrono::microseconds(random.below(300)));
      const auto answer = [&](int slot, int64_t q) { desk.answer(slot, q, {.depth = static_cast<int>(q)}); };
      if (random.uniform() < 0.2) answer(old.slot, old.question);
      if (random.uniform() < 0.2) answer((asked.slot + 1) % kSlots, asked.question);
      answer(asked.slot, asked.question);
      if (random.uniform() < 0.2) answer(asked.slot, asked.question);
      if (random.uniform() < 0.02) desk.interrupt(false);
      old = asked;
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t seed = 1; seed <= 3; ++seed) threads.emplace_back(answerer, seed);

  std::vector<int64_t> asked(kSlots, 0), taken(kSlots, 0), forgotten(kSlots, 0);
  std::vector<int> plans(kSlots, 0);
  test::Random random(0);
  for (int round = 0; round < kRounds; ++round) {
    for (int slot = 0; slot < kSlots; ++slot)
      if (const int64_t question = desk.ask(slot); question != 0) {
        CHECK(question > asked[slot]);
        asked[slot] = question;
        const std::lock_guard lock(mutex);
        open.push_back({slot, question});
      }
    if (desk.waiting()) desk.wait(0.1);
    for (int slot = 0; slot < kSlots; ++slot)
      if (const std::optional<Plan> plan = desk.take(slot)) {
        CHECK(plan->depth > taken[slot]);
        CHECK(plan->depth <= asked[slot]);
        CHECK(plan->depth > forgotten[slot]);
        taken[slot] = plan->depth;
        ++plans[slot];
      }
    if (random.uniform() < 0.05) {
      const int slot = random.below(kSlots);
      desk.forget(slot);
      forgotten[slot] = asked[slot];
    }
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  for (int slot = 0; slot < kSlots; ++slot) CHECK(plans[slot] > kRounds / 100);  // they did answer
}

}  // namespace
}  // namespace adaptive_spec
