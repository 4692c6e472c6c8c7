// Tests of argmax and choose against the same figures in double precision.
#include "kernels/logits.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "test/harness.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

using test::Random;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A row between neighbours larger than all of it, `offset` floats into its memory: what reads too far picks
// them.
class Row {
 public:
  Row(const std::vector<float>& logits, int offset = 0)
      : begin_(kMargin + offset), n_(static_cast<int>(logits.size())), memory_(begin_ + n_ + kMargin, 1e30f) {
    std::copy(logits.begin(), logits.end(), memory_.begin() + begin_);
  }
  float* data() { return memory_.data() + begin_; }
  int size() const { return n_; }
  int32_t argmax() { return adaptive_spec::argmax(data(), n_); }
  Choice choose() { return adaptive_spec::choose(data(), n_); }

 private:
  static constexpr int kMargin = 64;
  int begin_, n_;
  std::vector<float> memory_;
};

struct Reference {
  int32_t id = 0;
  double probability = 0, margin = 0, entropy = 0;
};

Reference reference(const std::vector<float>& logits) {
  Reference r;
  for (size_t i = 1; i < logits.size(); ++i)
    if (logits[i] > logits[r.id]) r.id = static_cast<int32_t>(i);
  const double best = logits[r.id];
  double second = -kInfinity, sum = 0, weighted = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (static_cast<int32_t>(i) != r.id) second = std::max<double>(second, logits[i]);
    const double x = logits[i] - best, e = std::exp(x);
    sum += e;
    if (e > 0) weighted += x * e;
  }
  r.probability = 1 / sum;
  r.margin = -std::expm1(second - best) / sum;
  r.entropy = std::log(sum) - weighted / sum;
  return r;
}

// Largest errors over the rows so far; the margin's relative to the probability, from which it is taken.
struct Errors {
  double probability = 0, margin = 0, entropy = 0;

  void add(const std::vector<float>& logits, int offset = 0) {
    Row row(logits, offset);
    const Reference expected = reference(logits);
    const Choice choice = row.choose();
    CHECK_EQUAL(choice.id, expected.id);
    CHECK_EQUAL(row.argmax(), expected.id);
    probability = std::max(probability, std::abs(choice.probability / expected.probability - 1));
    margin = std::max(margin, std::abs(choice.margin - expected.margin) / expected.probability);
    entropy = std::max(entropy, std::abs(choice.entropy - expected.entropy) / (1 + expected.entropy));
  }
  void check(double limit) const {
    if (!(probability < limit && margin < limit && entropy < limit))
      test::fail(__FILE__, __LINE__,
                 "relative errors of probability, margin, entropy: " + test::show(probability) + " " +
                     test::show(margin) + " " + test::show(entropy));
  }
};

constexpr double kSpreads[] = {0.001, 0.3, 2, 6, 40};

TEST("logits: rows of every length from 1 to 300 give the figures of double precision") {
  Random random(1);
  Errors errors;
  for (int n = 1; n <= 300; ++n)
    for (double spread : kSpreads) errors.add(random.row(n, spread), n % 16);
  errors.check(3e-6);
}

TEST("logits: rows of whole vocabularies give the figures of double precision") {
  Random random(2);
  Errors errors;
  for (int n : {49'152, 151'936})
    for (double spread : kSpreads) errors.add(random.row(n, spread));
  errors.check(1e-5);  // sums of floats grow less exact with their length
}

TEST("logits: rows far from zero give the figures of double precision") {
  Random random(3);
  Errors errors;
  for (float shift : {-3000.0f, 3000.0f})
    for (int i = 0; i < 50; ++i) {
      std::vector<float> logits = random.row(1000, 3);
      for (float& logit : logits) logit += shift;
      errors.add(logits);
    }
  errors.check(3e-6);
}

TEST("logits: of equal largest ones the lowest id wins, wherever they stand") {
  constexpr int n = 151;  // two blocks of 64 and a rest
  Random random(4);
  for (int offset = 0; offset < 16; ++offset) {
    Row row(random.row(n, 1), offset);
    float* logits = row.data();
    for (int first = 0; first < n; ++first)
      for (int second = first + 1; second < n; ++second) {
        const float were[] = {logits[first], logits[second]};
        logits[first] = logits[second] = 9;
        CHECK_EQUAL(row.argmax(), first);
        if (offset == 0) {
          const Choice choice = row.choose();
          CHECK_EQUAL(choice.id, first);
          CHECK_EQUAL(choice.margin, 0);
        }
        logits[first] = were[0], logits[second] = were[1];
      }
  }
}

TEST("logits: in rows where all are equal id 0 wins, with one n-th of the probability") {
  for (int n = 1; n <= 300; ++n)
    for (float value : {0.0f, -7.5f, 1e10f}) {
      const Choice choice = Row(std::vector<float>(n, value), n % 16).choose();
      CHECK_EQUAL(choice.id, 0);
      CHECK(std::abs(choice.probability * n - 1) < 1e-6);
      CHECK(std::abs(choice.margin - (n == 1 ? 1 : 0)) < 1e-6);
      CHECK(std::abs(choice.entropy - std::log(n)) < 2e-6);
    }
}

TEST("logits: minus zero and zero are equal") {
  CHECK_EQUAL(Row({-1, -0.0f, 0.0f}).argmax(), 1);
  CHECK_EQUAL(Row({-1, 0.0f, -0.0f}).argmax(), 1);
  CHECK_EQUAL(Row({-1, -0.0f, 0.0f}).choose().id, 1);
}

TEST("logits: ids at minus infinity count for nothing") {
  Random random(5);
  Errors errors;
  for (int n = 2; n <= 300; ++n) {
    std::vector<float> logits = random.row(n, 2);
    for (float& logit : logits)
      if (random.uniform() < 0.5) logit = -kInfinity;
    logits[random.below(n)] = 1;
    errors.add(logits);
  }
  std::vector<float> one(200, -kInfinity);
  for (int id : {0, 1, 63, 64, 130, 199}) {
    one[id] = -50;
    const Choice choice = Row(one).choose();
    CHECK_EQUAL(choice.id, id);
    CHECK_EQUAL(choice.probability, 1);
    CHECK_EQUAL(choice.margin, 1);
    CHECK(choice.entropy >= 0 && choice.entropy < 1e-30);
    one[id] = -kInfinity;
  }
  errors.check(3e-6);
}

TEST("logits: the second best is found on either side of the best") {
  for (int best : {0, 1, 70, 149})
    for (int second = 0; second < 150; ++second) {
      if (second == best) continue;
      std::vector<float> logits(150, -20);
      logits[best] = 3, logits[second] = 2;
      const double both = std::exp(3.0) + std::exp(2.0) + 148 * std::exp(-20.0);
      const Choice choice = Row(logits).choose();
      CHECK_EQUAL(choice.id, best);
      CHECK(std::abs(choice.margin - (std::exp(3.0) - std::exp(2.0)) / both) < 1e-6);
    }
}

TEST("logits: a margin close to a tie is neither negative nor lost") {
  std::vector<float> logits(100, -5);
  logits[10] = 4;
  for (float gap : {1e-1f, 1e-2f, 1e-3f, 1e-4f, 1e-5f}) {
    logits[60] = 4 - gap;
    const Choice choice = Row(logits).choose();
    const Reference expected = reference(logits);
    CHECK(choice.margin >= 0);
    CHECK(std::abs(choice.margin - expected.margin) < 1e-7);
  }
}

TEST("logits: rows that hold or are nothing but NaN and infinities give an id of the row") {
  Random random(6);
  for (int n = 1; n <= 200; ++n) {
    std::vector<std::vector<float>> rows = {std::vector<float>(n, kNan), std::vector<float>(n, -kInfinity),
                                            std::vector<float>(n, kInfinity)};
    for (double share : {0.02, 0.5, 0.98}) {
      rows.push_back(random.row(n, 1));
      for (float& logit : rows.back())
        if (random.uniform() < share) logit = random.uniform() < 0.7 ? kNan : kInfinity;
    }
    for (const std::vector<float>& logits : rows) {
      Row row(logits);
      const int32_t id = row.argmax();
      CHECK(id >= 0 && id < n);
      const int32_t chosen = row.choose().id;
      CHECK(chosen >= 0 && chosen < n);
    }
  }
}

TEST("logits: a NaN doesn't hide the largest number") {
  Random random(7);
  for (int n = 2; n <= 200; ++n) {
    std::vector<float> logits = random.row(n, 1);
    const int best = random.below(n);
    logits[best] = 20;
    for (int i = 0; i < n; ++i)
      if (i != best && random.uniform() < 0.3) logits[i] = kNan;
    CHECK_EQUAL(Row(logits).argmax(), best);
  }
}

}  // namespace
}  // namespace adaptive_spec
