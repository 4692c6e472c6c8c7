// Layout, in the machine's byte order: Header, tokens, checksum of both.
#include "draft/ngram_store_file.h"

#include <llama.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>

#include "draft/ngram_store.h"
#include "engine/context.h"

namespace adaptive_spec {
namespace {

// "ngrams", zero, and the version. Another byte order reads as another kind of file.
constexpr uint64_t kMagic = 0x01'00'73'6d'61'72'67'6e;

struct Header {
  uint64_t magic = kMagic;
  uint64_t vocabulary = 0;  // hash of its tokens' texts
  uint64_t count = 0;       // tokens
};

// It finds damage and mistakes, not what somebody made on purpose.
class Checksum {
 public:
  void add(const void* data, size_t size) {
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
      uint64_t word = 0;
      std::memcpy(&word, static_cast<const char*>(data) + i, std::min(sizeof word, size - i));
      sum_ = (sum_ ^ word) * 0x9e3779b97f4a7c15;
      sum_ ^= sum_ >> 29;
    }
    sum_ = (sum_ ^ size) * 0xff51afd7ed558ccd;
    sum_ ^= sum_ >> 32;
  }
  uint64_t sum() const { return sum_; }

 private:
  uint64_t sum_ = 0;
};

uint64_t hash_of(const llama_vocab* vocab) {
  Checksum hash;
  for (int32_t id = 0; id < llama_vocab_n_tokens(vocab); ++id) {
    const std::string_view text = llama_vocab_get_text(vocab, id);
    hash.add(text.data(), text.size());
  }
  return hash.sum();
}

uint64_t checksum_of(const Header& header, std::span<const int32_t> tokens) {
  Checksum checksum;
  checksum.add(&header, sizeof header);
  checksum.add(tokens.data(), tokens.size_bytes());
  return checksum.sum();
}

EngineError invalid(const std::string& path, const std::string& why) {
  return {"STORE_INVALID", "The n-gram store " + path + " " + why,
          "Delete it, and the engine begins a new one; or name another file."};
}

EngineError failed(const std::string& path, const std::string& what) {
  return {"STORE_FAILED", "The n-gram store " + path + " can't be " + what + ": " + std::strerror(errno),
          "Name a file in a folder that can be written to, on a disk with room."};
}

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() { close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool sync() const { return fsync(descriptor_) == 0; }
  bool write_all(const void* data, size_t size) const {
    const char* from = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t written = write(descriptor_, from, size);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return false;
      from += written;
      size -= written;
    }
    return true;
  }

 private:
  int descriptor_;
};

}  // namespace

std::vector<int32_t> read_ngram_store(const std::string& path, const llama_vocab* vocab) {
  if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) return {};
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw failed(path, "read");
  const uint64_t size = file.tellg();
  file.seekg(0);
  Header header;
  uint64_t checksum = 0;
  if (size < sizeof header + sizeof checksum) throw invalid(path, "is too short to be one.");
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  if (!file) throw failed(path, "read");
  if (header.magic != kMagic) throw invalid(path, "is another kind of file, or of another version.");
  const uint64_t bytes = size - sizeof header - sizeof checksum;
  if (bytes % sizeof(int32_t) != 0 || header.count != bytes / sizeof(int32_t))
    throw invalid(path, "is damaged: it has not the length that it says.");
  std::vector<int32_t> tokens(header.count);
  file.read(reinterpret_cast<char*>(tokens.data()), static_cast<std::streamsize>(bytes));
  file.read(reinterpret_cast<char*>(&checksum), sizeof checksum);
  if (!file) throw failed(path, "read");
  if (checksum != checksum_of(header, tokens)) throw invalid(path, "is damaged: its checksum is wrong.");
  if (header.vocabulary != hash_of(vocab)) throw invalid(path, "is of a model with other tokens.");
  for (const int32_t token : tokens)
    if (token < NgramStore::kBoundary || token >= llama_vocab_n_tokens(vocab))
      throw invalid(path, "holds a token that the model hasn't.");
  return tokens;
}

void write_ngram_store(const std::string& path, const llama_vocab* vocab, std::span<const int32_t> tokens) {
  const Header header{.vocabulary = hash_of(vocab), .count = tokens.size()};
  const uint64_t checksum = checksum_of(header, tokens);
  // Of its own name, because another engine may be closing with the same file.
  std::string partial = path + ".XXXXXX";
  const int made = mkstemp(partial.data());  // readable for its owner alone
  if (made < 0) throw failed(path, "written");
  bool done = false;
  {
    const File file(made);
    done = file.write_all(&header, sizeof header) && file.write_all(tokens.data(), tokens.size_bytes()) &&
           file.write_all(&checksum, sizeof checksum) && file.sync();
  }
  if (done && std::rename(partial.c_str(), path.c_str()) == 0) return;
  const int error = errno;
  unlink(partial.c_str());
  errno = error;
  throw failed(path, "written");
}

}  // namespace adaptive_spec
