// Runs the native tests: all of them, or those whose name contains the first argument.
#include <chrono>
#include <cstdio>
#include <exception>
#include <mutex>

#include "test/harness.h"

namespace adaptive_spec::test {
namespace {

struct Test {
  const char* name;
  void (*run)();
};

// A function's static, since the tests add themselves before main in any order.
std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

std::mutex failures_mutex;
std::vector<std::string> failures;  // of the running test

std::vector<std::string> run_one(const Test& test) {
  failures.clear();
  try {
    test.run();
  } catch (const std::exception& error) {
    fail(test.name, 0, error.what());
  }
  const std::lock_guard lock(failures_mutex);
  return failures;
}

}  // namespace

bool add(const char* name, void (*run)()) {
  tests().push_back({name, run});
  return true;
}

void fail(const char* file, int line, const std::string& what) {
  const std::lock_guard lock(failures_mutex);
  failures.push_back(std::string(file) + ":" + std::to_string(line) + ": " + what);
}

int run_all(const std::string& part) {
  constexpr size_t kShown = 5;  // a check in a loop can fail a thousand times
  int passed = 0, failed = 0;
  for (const Test& test : tests()) {
    if (std::string(test.name).find(part) == std::string::npos) continue;
    const auto start = std::chrono::steady_clock::now();
    const std::vector<std::string> wrong = run_one(test);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    ++(wrong.empty() ? passed : failed);
    std::printf("%s %s (%.0f ms)\n", wrong.empty() ? "ok" : "FAILED", test.name, took.count());
    for (size_t i = 0; i < wrong.size() && i < kShown; ++i) std::printf("  %s\n", wrong[i].c_str());
    if (wrong.size() > kShown) std::printf("  and %zu more\n", wrong.size() - kShown);
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace adaptive_spec::test

int main(int argc, char** argv) { return adaptive_spec::test::run_all(argc > 1 ? argv[1] : ""); }
