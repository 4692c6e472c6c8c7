// Tests of accept_chain: which draft tokens count as accepted, what is emitted, and which rows are read.
#include "verify/accept.h"

#include <vector>

#include "test/harness.h"

namespace adaptive_spec {
namespace {

struct Outcome {
  int accepted = 0;
  std::vector<int32_t> emitted;
  std::vector<size_t> rows;  // that were sampled
};

// `target` holds the target's token for each row; the sequence is over once `limit` tokens were emitted.
Outcome run(const std::vector<int32_t>& draft, const std::vector<int32_t>& target, size_t limit = 1000) {
  Outcome outcome;
  outcome.accepted = accept_chain(
      draft,
      [&](size_t row) {
        outcome.rows.push_back(row);
        return target.at(row);
      },
      [&](int32_t token) {
        outcome.emitted.push_back(token);
        return outcome.emitted.size() < limit;
      });
  return outcome;
}

using Tokens = std::vector<int32_t>;
using Rows = std::vector<size_t>;

TEST("accept_chain: a draft that is right throughout is accepted, and the last row gives one token more") {
  const Outcome outcome = run({5, 6, 7}, {5, 6, 7, 8});
  CHECK_EQUAL(outcome.accepted, 3);
  CHECK_EQUAL(outcome.emitted, (Tokens{5, 6, 7, 8}));
  CHECK_EQUAL(outcome.rows, (Rows{0, 1, 2, 3}));
}

TEST("accept_chain: of a draft that is wrong at once nothing is accepted, and later rows are not sampled") {
  const Outcome outcome = run({5, 6, 7}, {4, 6, 7, 8});
  CHECK_EQUAL(outcome.accepted, 0);
  CHECK_EQUAL(outcome.emitted, Tokens{4});
  CHECK_EQUAL(outcome.rows, Rows{0});
}

TEST("accept_chain: the first wrong token is replaced by the target's, and what follows it is dropped") {
  const Outcome outcome = run({5, 6, 7}, {5, 9, 7, 8});
  CHECK_EQUAL(outcome.accepted, 1);
  CHECK_EQUAL(outcome.emitted, (Tokens{5, 9}));
  CHECK_EQUAL(outcome.rows, (Rows{0, 1}));
}

TEST("accept_chain: an empty draft gives the target's one token, as plain decoding does") {
  const Outcome outcome = run({}, {3});
  CHECK_EQUAL(outcome.accepted, 0);
  CHECK_EQUAL(outcome.emitted, Tokens{3});
  CHECK_EQUAL(outcome.rows, Rows{0});
}

TEST("accept_chain: a sequence that is over in the middle of its draft drops the rest, sampled or not") {
  const Outcome outcome = run({5, 6, 7}, {5, 6, 7, 8}, 2);
  CHECK_EQUAL(outcome.accepted, 2);
  CHECK_EQUAL(outcome.emitted, (Tokens{5, 6}));
  CHECK_EQUAL(outcome.rows, (Rows{0, 1}));  // a draw for a third row would shift all later random numbers
}

TEST("accept_chain: a sequence that is over at its last draft token doesn't get the token after it") {
  const Outcome outcome = run({5, 6, 7}, {5, 6, 7, 8}, 3);
  CHECK_EQUAL(outcome.accepted, 3);
  CHECK_EQUAL(outcome.emitted, (Tokens{5, 6, 7}));
}

TEST("accept_chain: a sequence that is over at a wrong token or at the last row counts only what was right") {
  CHECK_EQUAL(run({5, 6, 7}, {5, 9, 7, 8}, 2).accepted, 1);
  CHECK_EQUAL(run({5, 6, 7}, {5, 6, 7, 8}, 4).accepted, 3);
  CHECK_EQUAL(run({5}, {4}, 1).accepted, 0);
  CHECK_EQUAL(run({}, {4}, 1).accepted, 0);
}

TEST("accept_chain: a draft of one token over and over is accepted as far as the target repeats it") {
  CHECK_EQUAL(run({5, 5, 5, 5}, {5, 5, 6, 5, 5}).accepted, 2);
  CHECK_EQUAL(run({5, 5, 5, 5}, {5, 5, 5, 5, 5}).emitted, (Tokens{5, 5, 5, 5, 5}));
}

}  // namespace
}  // namespace adaptive_spec
