// The store's text as a file, which lasts from one engine to the next.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

struct llama_vocab;

namespace adaptive_spec {

// The file's tokens, as NgramStore::tokens gave them; none where there is no file. Throws EngineError: STORE_INVALID for
// a damaged file, another kind or version of file, or one of another vocabulary; STORE_FAILED where it can't be read.
std::vector<int32_t> read_ngram_store(const std::string& path, const llama_vocab* vocab);

// Replaces the file as a whole, or leaves it as it was and throws EngineError STORE_FAILED. Only the user may read it.
void write_ngram_store(const std::string& path, const llama_vocab* vocab, std::span<const int32_t> tokens);

}  // namespace adaptive_spec
