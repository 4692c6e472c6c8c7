// The tests' harness: named tests, checks that go on after a failure, one line a test on stdout.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace adaptive_spec::test {

bool add(const char* name, void (*run)());
// Counts against the running test; from any thread.
void fail(const char* file, int line, const std::string& what);

template <class T>
std::string show(const T& value) {
  std::ostringstream out;
  if constexpr (requires { out << value; })
    out << value;
  else
    for (const auto& one : value) out << show(one) << ' ';
  return out.str();
}

template <class A, class B>
void check_equal(const A& actual, const B& expected, const char* text, const char* file, int line) {
  if (!(actual == expected)) fail(file, line, text + (" is " + show(actual) + ", not " + show(expected)));
}

}  // namespace adaptive_spec::test

// TEST("what can go wrong") { ... }
#define TEST(name) TEST_NAMED(name, __LINE__)
#define TEST_NAMED(name, line) TEST_DEFINED(name, line)
#define TEST_DEFINED(name, line)                                                                 \
  static void test_##line();                                                                     \
  [[maybe_unused]] static const bool added_##line = adaptive_spec::test::add(name, test_##line); \
  static void test_##line()

#define CHECK(condition) \
  if (!(condition)) adaptive_spec::test::fail(__FILE__, __LINE__, #condition)
#define CHECK_EQUAL(actual, expected) \
  adaptive_spec::test::check_equal((actual), (expected), #actual, __FILE__, __LINE__)
// Ends the test: what follows makes no sense without it.
#define REQUIRE(condition) \
  if (!(condition)) throw std::runtime_error("needed: " #condition)
