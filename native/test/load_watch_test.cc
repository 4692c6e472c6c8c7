// LoadWatch against made-up clocks and switches.
#include "engine/load_watch.h"

#include "test/harness.h"

namespace adaptive_spec {
namespace {

// Steps of 5 ms; so many involuntary switches a step while `busy`, given the threads in use.
struct Machine {
  LoadWatch watch;
  double now = 0, switches = 0;
  int threads;

  explicit Machine(int threads) : watch(threads), threads(threads) {}
  void run(double ms, double per_step) {
    for (const double end = now + ms; now < end; now += 5) {
      switches += per_step;
      threads = watch.observe(now, static_cast<long>(switches));
    }
  }
};

TEST("a quiet machine loses threads") {
  Machine machine(8);
  machine.run(5000, 0.05);
  CHECK_EQUAL(machine.threads, 8);
}

TEST("a busy neighbour takes no thread, or keeps it when it has gone") {
  Machine machine(2);
  machine.run(200, 0);
  machine.run(100, 2);
  CHECK_EQUAL(machine.threads, 1);
  machine.run(1000, 0);
  CHECK_EQUAL(machine.threads, 2);
  machine.run(2000, 0);
  CHECK_EQUAL(machine.threads, 2);
}

TEST("a neighbour that stays is asked about again and again at the same cost") {
  Machine machine(2);
  double at_most = 0;
  while (machine.now < 20000) {
    machine.run(5, machine.threads == 2 ? 2 : 0);  // one thread leaves it a core
    at_most += machine.threads == 2 ? 5 : 0;
  }
  // Probes of a window each, at 400, 800, 1600 ms and so on.
  CHECK(at_most < 1000);
  CHECK(at_most > 100);
}

TEST("more neighbours than one leave too many threads") {
  Machine machine(16);
  for (int i = 0; i < 400; ++i) machine.run(5, machine.threads > 10 ? 2 : 0);
  CHECK(machine.threads <= 10);
  CHECK(machine.threads >= 1);
}

TEST("a pause between requests counts as a window") {
  Machine machine(2);
  machine.run(100, 0);
  machine.now += 60000;
  machine.switches += 500;  // of whatever else the process did
  machine.run(60, 0);
  CHECK_EQUAL(machine.threads, 2);
}

}  // namespace
}  // namespace adaptive_spec
