// Tests of all kernels that this CPU can run, against the same figures in double precision.
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

// Runs `check` with each set of kernels, and leaves the best of them in use.
template <class Check>
void with_all_kernels(Check&& check) {
  const auto all = runnable_logit_kernels();
  for (auto kernels = all.rbegin(); kernels != all.rend(); ++kernels) {
    use_logit_kernels(**kernels);
    check();
  }
}

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
  // Of all kernels, which must agree.
  int32_t argmax() {
    std::vector<int32_t> ids;
    with_all_kernels([&] { ids.push_back(adaptive_spec::argmax(data(), n_)); });
    for (int32_t id : ids) CHECK_EQUAL(id, ids[0]);
    return ids[0];
  }
  std::vector<Choice> choices() {
    std::vector<Choice> all;
    with_all_kernels([&] { all.push_back(choose(data(), n_)); });
    return all;
  }

 private:
  static constexpr int kMargin = 64;
  int begin_, n_;
  std::vector<float> memory_;
};

struct Reference {
  int32_t id = 0;
  double probability = 0, margin = 0, entropy = 0, log_sum_exp = 0;
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
  r.log_sum_exp = best + std::log(sum);
  return r;
}

// Largest errors over the rows so far; the margin's relative to the probability, from which it is taken.
struct Errors {
  double probability = 0, margin = 0, entropy = 0, log_sum_exp = 0;

  void add(const std::vector<float>& logits, int offset = 0) {
    Row row(logits, offset);
    const Reference expected = reference(logits);
    CHECK_EQUAL(row.argmax(), expected.id);
    for (const Choice& choice : row.choices()) {
      CHECK_EQUAL(choice.id, expected.id);
      probability = std::max(probability, std::abs(choice.probability / expected.probability - 1));
      margin = std::max(margin, std::abs(choice.margin - expected.margin) / expected.probability);
      entropy = std::max(entropy, std::abs(choice.entropy - expected.entropy) / (1 + expected.entropy));
      log_sum_exp = std::max(log_sum_exp, std::abs(choice.log_sum_exp - expected.log_sum_exp) /
                                              (1 + std::abs(expected.log_sum_exp)));
    }
  }
  void check(double limit) const {
    if (!(probability < limit && margin < limit && entropy < limit && log_sum_exp < limit))
      test::fail(__FILE__, __LINE__,
                 "relative errors of probability, margin, entropy, log-sum-exp: " + test::show(probability) + " " +
                     test::show(margin) + " " + test::show(entropy) + " " + test::show(log_sum_exp));
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

TEST("logits: rows that end around the kernels' blocks give the figures of double precision") {
  Random random(11);
  Errors errors;
  for (int blocks : {1, 2, 3})
    for (int beyond : {-65, -64, -63, -17, -16, -15, -9, -8, -7, -1, 0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65})
      errors.add(random.row(2048 * blocks + beyond, 3), beyond & 15);
  errors.check(5e-6);
}

TEST("logits: rows that rise or fall throughout give the figures of double precision") {
  Errors errors;
  for (int n : {100, 5000, 20'000})
    for (float step : {1e-3f, 0.05f, 1.0f, -1e-3f, -0.05f, -1.0f}) {
      std::vector<float> logits(n);
      for (int i = 0; i < n; ++i) logits[i] = step * static_cast<float>(i);
      errors.add(logits);
    }
  errors.check(5e-6);
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
        if (offset == 0)
          for (const Choice& choice : row.choices()) {
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
      Row row(std::vector<float>(n, value), n % 16);
      CHECK_EQUAL(row.argmax(), 0);
      for (const Choice& choice : row.choices()) {
        CHECK_EQUAL(choice.id, 0);
        CHECK(std::abs(choice.probability * n - 1) < 1e-6);
        CHECK(std::abs(choice.margin - (n == 1 ? 1 : 0)) < 1e-6);
        CHECK(std::abs(choice.entropy - std::log(n)) < 2e-6);
      }
    }
}

TEST("logits: minus zero and zero are equal") {
  CHECK_EQUAL(Row({-1, -0.0f, 0.0f}).argmax(), 1);
  CHECK_EQUAL(Row({-1, 0.0f, -0.0f}).argmax(), 1);
  for (const Choice& choice : Row({-1, -0.0f, 0.0f}).choices()) CHECK_EQUAL(choice.id, 1);
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
    for (const Choice& choice : Row(one).choices()) {
      CHECK_EQUAL(choice.id, id);
      CHECK_EQUAL(choice.probability, 1);
      CHECK_EQUAL(choice.margin, 1);
      CHECK(choice.entropy >= 0 && choice.entropy < 1e-30);
      CHECK_EQUAL(choice.log_sum_exp, -50);
    }
    one[id] = -kInfinity;
  }
  std::vector<float> late = random.row(9000, 2);  // whole blocks of masked ids before the first that counts
  std::fill(late.begin(), late.begin() + 5000, -kInfinity);
  errors.add(late);
  std::fill(late.begin() + 5001, late.end(), -kInfinity);
  errors.add(late);
  errors.check(3e-6);
}

TEST("logits: the second best is found on either side of the best") {
  for (int best : {0, 1, 70, 149})
    for (int second = 0; second < 150; ++second) {
      if (second == best) continue;
      std::vector<float> logits(150, -20);
      logits[best] = 3, logits[second] = 2;
      const double both = std::exp(3.0) + std::exp(2.0) + 148 * std::exp(-20.0);
      for (const Choice& choice : Row(logits).choices()) {
        CHECK_EQUAL(choice.id, best);
        CHECK(std::abs(choice.margin - (std::exp(3.0) - std::exp(2.0)) / both) < 1e-6);
      }
    }
}

TEST("logits: a margin close to a tie is neither negative nor lost") {
  std::vector<float> logits(100, -5);
  logits[10] = 4;
  for (float gap : {1e-1f, 1e-2f, 1e-3f, 1e-4f, 1e-5f}) {
    logits[60] = 4 - gap;
    const Reference expected = reference(logits);
    for (const Choice& choice : Row(logits).choices()) {
      CHECK(choice.margin >= 0);
      CHECK(std::abs(choice.margin - expected.margin) < 1e-7);
    }
  }
}

TEST("logits: huge logits and the smallest ones are told apart") {
  Random random(12);
  for (float size : {1e-44f, 1e-40f, 1e-30f, 1e30f, 3e37f}) {
    for (int n : {1, 5, 64, 200, 5000}) {
      std::vector<float> logits = random.row(n, 1);
      for (float& logit : logits) logit *= size;
      const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      Row row(logits);
      CHECK_EQUAL(row.argmax(), best);
      for (const Choice& choice : row.choices()) {
        CHECK_EQUAL(choice.id, best);
        CHECK(choice.probability > 0 && choice.probability <= 1);
        CHECK(choice.margin >= 0 && choice.margin <= 1);
        CHECK(choice.entropy >= 0 && std::isfinite(choice.entropy));
      }
    }
  }
  // Further apart than a float can say.
  for (const Choice& choice : Row({-3e38f, 3e38f, -3e38f}).choices()) {
    CHECK_EQUAL(choice.id, 1);
    CHECK_EQUAL(choice.probability, 1);
  }
}

// --- Bad rows.

void check_bad(Row& row) {
  CHECK_EQUAL(row.argmax(), -1);
  for (const Choice& choice : row.choices()) CHECK_EQUAL(choice.id, -1);
  with_all_kernels([&] { CHECK(std::isnan(CandidateList().look(row.data(), row.size()))); });
}

TEST("logits: one NaN or +Inf makes a row bad, wherever it stands and whatever else there is") {
  Random random(6);
  const float bad_ones[] = {kNan, -kNan, std::numeric_limits<float>::signaling_NaN(), kInfinity};
  const auto try_at = [&](Row& row, int at) {
    for (float bad : bad_ones) {
      const float was = row.data()[at];
      row.data()[at] = bad;
      check_bad(row);
      row.data()[at] = was;
    }
  };
  for (int n = 1; n <= 200; ++n) {
    Row row(random.row(n, 1), n % 16), masked(std::vector<float>(n, -kInfinity), n % 16);
    for (int at = 0; at < n; ++at) try_at(row, at), try_at(masked, at);
  }
  Row longer(random.row(4100, 1));
  for (int at : {0, 63, 64, 2046, 2047, 2048, 2049, 4095, 4096, 4097, 4099}) try_at(longer, at);
}

TEST("logits: a row that is masked throughout is bad, and one unmasked id makes it good") {
  for (int n : {1, 2, 15, 16, 17, 63, 64, 65, 200, 2048, 2049, 5000}) {
    Row row(std::vector<float>(n, -kInfinity), n % 16);
    check_bad(row);
    for (int at = 0; at < n; at += 1 + n / 40) {
      row.data()[at] = -1e38f;
      CHECK_EQUAL(row.argmax(), at);
      row.data()[at] = -kInfinity;
    }
  }
}

// --- For sampling.

float sum_by_loop(const std::vector<float>& logits, float best) {
  float sum = 0;
  for (float logit : logits) sum += std::exp(logit - best);
  return sum;
}

void check_sum(const std::vector<float>& logits) {
  const float best = *std::max_element(logits.begin(), logits.end());
  const float expected = sum_by_loop(logits, best);
  Row row(logits, static_cast<int>(logits.size()) % 16);
  with_all_kernels([&] { CHECK_EQUAL(sum_in_order(row.data(), row.size(), best), expected); });
}

TEST("logits: sums in order are a loop's to the last bit") {
  Random random(13);
  for (int n = 1; n <= 300; ++n)
    for (double spread : kSpreads) check_sum(random.row(n, spread));
  for (int i = 0; i < 300; ++i) check_sum(random.row(2000 + random.below(8000), 0.1 + 6 * random.uniform()));
  for (int n : {49'152, 151'936})
    for (double spread : kSpreads) check_sum(random.row(n, spread));
}

TEST("logits: sums in order are a loop's where roundings are ties, and where the first terms count for little") {
  Random random(14);
  for (int n : {10, 1000, 100'000}) {
    check_sum(std::vector<float>(n, 3));
    // e^x near powers of two, and a few values only
    std::vector<float> logits(n);
    for (float& logit : logits) logit = -0.693147182f * static_cast<float>(random.below(26));
    check_sum(logits);
    for (float& logit : logits) logit = -0.5f * static_cast<float>(random.below(40));
    check_sum(logits);
    for (int i = 0; i < n; ++i) logits[i] = 30.0f * static_cast<float>(i) / static_cast<float>(n);
    check_sum(logits);
    std::reverse(logits.begin(), logits.end());
    check_sum(logits);
    for (float low : {-20.0f, -60.0f, -80.0f, -95.0f, -104.0f, -200.0f, -kInfinity}) {
      std::fill(logits.begin(), logits.end(), low);
      for (int peak : {0, n / 2, n - 1}) logits[peak] = 0;
      check_sum(logits);
    }
  }
}

TEST("logits: candidates are the entries of a threshold or more, in order") {
  Random random(15);
  CandidateList list;
  for (int n : {8, 63, 64, 65, 200, 1000, 5000}) {
    Row row(random.row(n, 1), n % 16);
    with_all_kernels([&] {
      CHECK_EQUAL(list.look(row.data(), n), *std::max_element(row.data(), row.data() + n));
      for (float threshold : {5.0f, 2.5f, 1.5f, 1.0f, 0.0f, -kInfinity}) {
        std::vector<int32_t> expected, ids;
        for (int id = 0; id < n; ++id)
          if (row.data()[id] >= threshold) expected.push_back(id);
        const bool is_short = list.take_at_least(threshold);
        CHECK_EQUAL(is_short, static_cast<int>(expected.size()) <= n / 8);
        if (!is_short) continue;
        for (const Candidate& entry : list.entries()) {
          CHECK_EQUAL(entry.logit, row.data()[entry.id]);
          ids.push_back(entry.id);
        }
        CHECK_EQUAL(ids, expected);
      }
    });
  }
}

TEST("logits: the k largest are among the candidates, with all that equal the last of them") {
  Random random(16);
  CandidateList list;
  for (int n : {1000, 5000, 150'001})
    for (int k : {1, 2, 7, 40})
      for (bool ties : {false, true}) {
        std::vector<float> logits = random.row(n, 3);
        if (ties)
          for (float& logit : logits) logit = std::round(logit * 20) / 20;
        std::vector<float> sorted = logits;
        std::sort(sorted.rbegin(), sorted.rend());
        Row row(logits, 3);
        with_all_kernels([&] {
          list.look(row.data(), n);
          if (!list.take_largest(k)) {
            CHECK(n < 5000);
            return;
          }
          std::vector<float> found;
          for (const Candidate& entry : list.entries()) found.push_back(entry.logit);
          std::sort(found.rbegin(), found.rend());
          const auto wanted = std::count_if(sorted.begin(), sorted.end(), [&](float x) { return x >= sorted[k - 1]; });
          REQUIRE(static_cast<int>(found.size()) >= wanted);
          CHECK(std::equal(found.begin(), found.end(), sorted.begin()));
        });
      }
}

}  // namespace
}  // namespace adaptive_spec
