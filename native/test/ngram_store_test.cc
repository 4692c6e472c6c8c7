// Tests of NgramStore, against a search through all that it should hold; and of its file.
#include "draft/ngram_store.h"

#include <llama.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "draft/ngram_store_file.h"
#include "engine/context.h"
#include "test/harness.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

using Tokens = std::vector<int32_t>;

Tokens random_text(test::Random& random, int length, int vocabulary) {
  Tokens text;
  for (int i = 0; i < length; ++i) text.push_back(random.below(vocabulary));
  return text;
}

// Random, but with passages of `others` and of its own.
Tokens passages(test::Random& random, int length, int vocabulary, const Tokens& others) {
  Tokens text;
  while (static_cast<int>(text.size()) < length) {
    const Tokens& from = random.below(2) == 0 && !others.empty() ? others : text;
    const int size = static_cast<int>(from.size());
    if (size > 10 && random.below(3) > 0) {
      const int start = random.below(size - 5), copied = std::min(1 + random.below(90), size - start);
      const Tokens copy(from.begin() + start, from.begin() + start + copied);
      for (const int32_t token : copy)
        if (token != NgramStore::kBoundary) text.push_back(token);
    } else {
      text.push_back(random.below(vocabulary));
    }
  }
  return text;
}

struct Found {
  int length = 0;  // 0: nothing was found
  int32_t token = 0;
  int agree = 0, seen = 0;
};

// What the header says: of the up to eight latest places where the longest of 16, 8, 4 and 2 tokens stood that did, the
// latest of those where most tokens before are the same.
Found search(const Tokens& held, const Tokens& end) {
  for (const size_t n : {16, 8, 4, 2}) {
    if (n > end.size()) continue;
    Found found;
    std::vector<int32_t> followers;
    for (size_t i = held.size(); i-- > n && followers.size() < 8;) {
      if (held[i] == NgramStore::kBoundary || !std::equal(end.end() - n, end.end(), held.begin() + (i - n))) continue;
      int length = 0;
      while (length < 64 && length < static_cast<int>(std::min(end.size(), i)) &&
             end[end.size() - 1 - length] == held[i - 1 - length])
        ++length;
      if (length > found.length) found = {length, held[i]};
      followers.push_back(held[i]);
    }
    if (followers.empty()) continue;
    found.agree = static_cast<int>(std::count(followers.begin(), followers.end(), found.token));
    found.seen = static_cast<int>(followers.size());
    return found;
  }
  return {};
}

float score_of(const Found& found) {
  const double z = -3.03 + 1.11 * std::log(found.length) + 1.11 * std::log(found.agree) - 0.42 * std::log(found.seen) +
                   1.17 * (found.agree == found.seen);
  return static_cast<float>(1 / (1 + std::exp(-z)));
}

std::string file_in(const std::string& folder, const std::string& name) { return folder + "/" + name; }

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "ngram-store-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

ModelHandle tiny(const std::string& name) {
  const char* folder = std::getenv("ADAPTIVE_SPEC_TINY_MODELS");
  if (!folder) throw std::runtime_error("set ADAPTIVE_SPEC_TINY_MODELS to where test/tiny-models.ts wrote them");
  start_backend();
  return load_model({.path = std::string(folder) + "/" + name + ".gguf"});
}

const llama_vocab* vocab_of(const ModelHandle& model) { return llama_model_get_vocab(model.get()); }

// '' where nothing is thrown.
template <class Call>
std::string code_of(Call&& call) {
  try {
    call();
  } catch (const EngineError& error) {
    return error.code;
  }
  return "";
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

}  // namespace

TEST("n-gram store: predicts what a search through the texts it holds finds, with the score that the docs give") {
  int none = 0, long_ones = 0, disputed = 0;
  for (int seed = 0; seed < 24; ++seed) {
    test::Random random(seed);
    // Small ones forget, and none of them may be led astray by what was overwritten.
    NgramStore store(seed % 3 == 0 ? 100 : seed % 3 == 1 ? 333 : 4096);
    const int vocabulary = seed % 2 == 0 ? 6 : 300;
    for (int text = 0; text < 12; ++text) {
      store.enter(passages(random, 20 + random.below(200), vocabulary, store.tokens()));
      const Tokens held = store.tokens();
      for (int look = 0; look < 20; ++look) {
        const Tokens asked = passages(random, 1 + random.below(120), vocabulary, held);
        const int of_draft = random.below(static_cast<int>(asked.size()) + 1);
        const std::span<const int32_t> all(asked);
        const auto match = store.predict(all.first(all.size() - of_draft), all.last(of_draft));
        const Found expected = search(held, asked);
        CHECK_EQUAL(match.has_value(), expected.length > 0);
        none += !match;
        if (!match || expected.length == 0) continue;
        CHECK_EQUAL(match->token, expected.token);
        CHECK_EQUAL(match->length, expected.length);
        CHECK(std::abs(match->score - score_of(expected)) < 1e-6f);
        long_ones += expected.length == 64;
        disputed += expected.agree < expected.seen;
      }
    }
  }
  CHECK(none > 20);
  CHECK(long_ones > 20);
  CHECK(disputed > 100);
}

TEST("n-gram store: holds no more tokens than it may, and lets the oldest go") {
  test::Random random(1);
  NgramStore store(1000);
  Tokens all;
  for (int i = 0; i < 30; ++i) {
    const Tokens text = random_text(random, 90, 50'000);
    store.enter(text);
    all.push_back(NgramStore::kBoundary);
    all.insert(all.end(), text.begin(), text.end());
    CHECK_EQUAL(store.tokens(), Tokens(all.end() - std::min<size_t>(all.size(), 1000), all.end()));
  }
}

TEST("n-gram store: keeps what requests have in common once") {
  test::Random random(2);
  const Tokens system = random_text(random, 400, 50'000);
  NgramStore store(10'000);
  Tokens chat = system;
  size_t added = 0;
  for (int turn = 0; turn < 5; ++turn) {
    const Tokens said = random_text(random, 100, 50'000);
    chat.insert(chat.end(), said.begin(), said.end());
    const size_t before = store.tokens().size();
    store.enter(chat);
    added = store.tokens().size() - before;
    // What is new, and as much before it as a match is compared.
    CHECK_EQUAL(added, turn == 0 ? size_t{501} : size_t{1 + 64 + 100});
    // A passage of what was kept once leads to what came after it in the last turn.
    const auto match = store.predict(std::span<const int32_t>(chat).first(chat.size() - 1), {});
    REQUIRE(match.has_value());
    CHECK_EQUAL(match->token, chat.back());
    CHECK_EQUAL(match->length, 64);
  }
  const Tokens before = store.tokens();
  store.enter(chat);
  CHECK_EQUAL(store.tokens(), before);
}

TEST("n-gram store: proposes nothing across the end of a text, nor before two tokens match") {
  NgramStore store(1000);
  CHECK(!store.predict(Tokens{1, 2, 3}, {}).has_value());
  store.enter(Tokens{1, 2, 3});
  store.enter(Tokens{4, 5, 6});
  CHECK(!store.predict(Tokens{2, 3}, {}).has_value());
  CHECK(!store.predict(Tokens{2}, {}).has_value());
  CHECK(!store.predict(Tokens{9, 2}, {}).has_value());
  CHECK(!store.predict(Tokens{}, {}).has_value());
  CHECK_EQUAL(store.predict(Tokens{4}, Tokens{5})->token, 6);
}

TEST("n-gram store: restored, it holds and predicts the same, or the newest where there is less room") {
  test::Random random(3);
  NgramStore store(2000);
  CHECK(!store.has_news());
  for (int i = 0; i < 20; ++i) store.enter(passages(random, 200, 40, store.tokens()));
  CHECK(store.has_news());
  const Tokens held = store.tokens();
  NgramStore same(2000), smaller(700);
  same.restore(held);
  smaller.restore(held);
  CHECK(!same.has_news());
  CHECK_EQUAL(same.tokens(), held);
  CHECK_EQUAL(smaller.tokens(), Tokens(held.end() - 700, held.end()));
  for (int look = 0; look < 200; ++look) {
    const Tokens asked = passages(random, 40, 40, held);
    const auto expected = store.predict(asked, {}), match = same.predict(asked, {});
    CHECK_EQUAL(match.has_value(), expected.has_value());
    if (match && expected) CHECK(match->token == expected->token && match->score == expected->score);
  }
}

TEST("n-gram store file: gives back what was written, to its owner alone, and leaves nothing beside it") {
  const Folder folder;
  const ModelHandle model = tiny("target");
  const std::string path = file_in(folder.path, "store");
  CHECK(read_ngram_store(path, vocab_of(model)).empty());
  for (const Tokens& tokens : {Tokens{}, Tokens{-1, 3, 4, 5}, Tokens{-1, 7}}) {
    write_ngram_store(path, vocab_of(model), tokens);
    CHECK_EQUAL(read_ngram_store(path, vocab_of(model)), tokens);
  }
  struct stat found = {};
  REQUIRE(stat(path.c_str(), &found) == 0);
  CHECK_EQUAL(found.st_mode & 0777, mode_t{0600});
  const std::filesystem::directory_iterator files(folder.path);
  CHECK_EQUAL(std::distance(begin(files), end(files)), 1);
}

TEST("n-gram store file: what is damaged, foreign or of other tokens is refused") {
  const Folder folder;
  const ModelHandle model = tiny("target"), other = tiny("draftOtherTexts");
  const std::string path = file_in(folder.path, "store");
  write_ngram_store(path, vocab_of(model), Tokens{-1, 3, 4, 5, 6, 7});
  const std::string good = bytes_of(path);
  const auto code = [&](const ModelHandle& of) { return code_of([&] { read_ngram_store(path, vocab_of(of)); }); };
  CHECK_EQUAL(code(model), std::string());
  CHECK_EQUAL(code(other), std::string("STORE_INVALID"));
  for (size_t length = 0; length < good.size(); ++length) {
    put(path, good.substr(0, length));
    CHECK_EQUAL(code(model), std::string("STORE_INVALID"));
  }
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    put(path, bad);
    CHECK_EQUAL(code(model), std::string("STORE_INVALID"));
  }
  put(path, good + "more");
  CHECK_EQUAL(code(model), std::string("STORE_INVALID"));
  write_ngram_store(path, vocab_of(model), Tokens{-1, llama_vocab_n_tokens(vocab_of(model))});
  CHECK_EQUAL(code(model), std::string("STORE_INVALID"));
  write_ngram_store(path, vocab_of(model), Tokens{-2});
  CHECK_EQUAL(code(model), std::string("STORE_INVALID"));
}

TEST("n-gram store file: what can't be written is told, and what was there stays") {
  const Folder folder;
  const ModelHandle model = tiny("target");
  const std::string missing = file_in(folder.path, "no/folder");
  CHECK_EQUAL(code_of([&] { write_ngram_store(missing, vocab_of(model), Tokens{}); }), std::string("STORE_FAILED"));
  // A folder with something in it can't be replaced by a file.
  std::filesystem::create_directories(file_in(folder.path, "folder/inside"));
  const std::string taken = file_in(folder.path, "folder");
  CHECK_EQUAL(code_of([&] { write_ngram_store(taken, vocab_of(model), Tokens{}); }), std::string("STORE_FAILED"));
  CHECK_EQUAL(code_of([&] { read_ngram_store(taken, vocab_of(model)); }), std::string("STORE_FAILED"));
  const std::filesystem::directory_iterator files(folder.path);
  CHECK_EQUAL(std::distance(begin(files), end(files)), 1);
}

}  // namespace adaptive_spec
