// LoadWatch against made-up steps.
#include "engine/load_watch.h"

#include "test/harness.h"

namespace adaptive_spec {
namespace {

// A machine with so many cores, on which so many other threads are busy.
struct Machine {
  int cores;
  LoadWatch watch{cores};
  int threads = cores;
  double with_all_ms = 0, cpu_ms = 0;

  // Steps of 5 ms for so long.
  void run(double ms, int others) {
    for (double done = 0; done < ms; done += 5) {
      const double share = std::min(1.0, static_cast<double>(cores) / (threads + others));
      if (threads == cores) with_all_ms += 5;
      cpu_ms += 5 * threads * share;
      threads = watch.observe({.wall_ms = 5, .wanted_ms = 5.0 * threads}, cpu_ms);
    }
  }
};

TEST("a quiet machine loses threads") {
  Machine machine{8};
  machine.run(5000, 0);
  CHECK_EQUAL(machine.threads, 8);
}

TEST("the process's own work beside decoding counts as a neighbour") {
  LoadWatch watch(2);
  for (int i = 0; i < 1000; ++i) CHECK_EQUAL(watch.observe({.wall_ms = 5, .wanted_ms = 10}, 11.0 * i), 2);
}

TEST("a busy neighbour takes no thread, or keeps it when it has gone") {
  Machine machine{2};
  machine.run(200, 0);
  machine.run(100, 1);
  CHECK_EQUAL(machine.threads, 1);
  machine.run(1000, 0);
  CHECK_EQUAL(machine.threads, 2);
  machine.run(2000, 0);
  CHECK_EQUAL(machine.threads, 2);
}

TEST("a moment's loss takes no thread") {
  Machine machine{2};
  for (int i = 0; i < 20; ++i) {
    machine.run(40, 1);
    CHECK_EQUAL(machine.threads, 2);
    machine.run(40, 0);
    CHECK_EQUAL(machine.threads, 2);
  }
  machine.run(80, 1);
  CHECK_EQUAL(machine.threads, 1);
}

TEST("a neighbour that stays is asked about again and again at the same cost") {
  Machine machine{2};
  machine.run(20000, 1);
  // Probes of a window each, after 80, 160, 320 ms and so on.
  CHECK(machine.with_all_ms < 1000);
  CHECK(machine.with_all_ms > 100);
}

TEST("a neighbour that comes for a moment costs hardly more than that moment") {
  Machine machine{2};
  double before = 0;
  for (int i = 0; i < 20; ++i) {
    machine.run(1000, 0);
    CHECK_EQUAL(machine.threads, 2);
    machine.run(40, 1);
    before = machine.with_all_ms;
    machine.run(200, 0);
    CHECK_EQUAL(machine.threads, 2);
    CHECK(machine.with_all_ms - before >= 100);
  }
}

TEST("more neighbours than one leave too many threads") {
  Machine machine{16};
  machine.run(2000, 6);
  CHECK(machine.threads < 14);
  CHECK(machine.threads >= 1);
}

}  // namespace
}  // namespace adaptive_spec
