// One pass over the vocabulary, and a sort.
#include "verify/grammar_vocabulary.h"

#include <algorithm>

namespace adaptive_spec {
namespace {

// Bytes that follow a character's first; -1: none begins so.
int following(unsigned char first) {
  if (first < 0x80) return 0;
  if (first < 0xC0) return -1;
  return first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
}

std::string piece_of(const llama_vocab* vocab, int32_t id) {
  std::string piece(64, '\0');
  int n = llama_token_to_piece(vocab, id, piece.data(), static_cast<int32_t>(piece.size()), 0, true);
  if (n < 0) {
    piece.resize(-n);
    n = llama_token_to_piece(vocab, id, piece.data(), static_cast<int32_t>(piece.size()), 0, true);
  }
  piece.resize(std::max(0, n));
  return piece;
}

}  // namespace

bool decode_utf8(std::string_view bytes, PartialUtf8& partial, std::vector<uint32_t>& code_points) {
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (partial.missing > 0) {
      if ((byte & 0xC0) != 0x80) return false;
      partial = {(partial.value << 6) | (byte & 0x3Fu), partial.missing - 1};
    } else {
      const int more = following(byte);
      if (more < 0) return false;
      partial = {byte & (more == 0 ? 0x7Fu : (0x3Fu >> more)), more};
    }
    if (partial.missing == 0) code_points.push_back(partial.value);
  }
  return true;
}

void encode_utf8(uint32_t code_point, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto put_following = [&](int shift) { put(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put_following(6);
  } else {
    put(0xF0 | ((code_point >> 18) & 7));
    put_following(12);
    put_following(6);
  }
  put_following(0);
}

GrammarVocabulary::GrammarVocabulary(const llama_vocab* vocab) : vocab_(vocab) {
  const int n = llama_vocab_n_tokens(vocab);
  entries_.reserve(n);
  for (int32_t id = 0; id < n; ++id) {
    const std::string piece = piece_of(vocab, id);
    Entry entry{.first_byte = bytes_.size(), .first_point = points_.size()};
    entry.bytes = static_cast<uint32_t>(piece.size());
    entry.is_eog = llama_vocab_is_eog(vocab, id);
    // As llama.cpp has it, a NUL character begins no text.
    entry.is_text = !piece.empty() && piece[0] != '\0' && decode_utf8(piece, entry.partial, points_);
    entry.points = static_cast<uint32_t>(points_.size() - entry.first_point);
    bytes_ += piece;
    entries_.push_back(entry);
    if (entry.is_text && !entry.is_eog) order_.push_back(id);
  }
  std::sort(order_.begin(), order_.end(), [this](int32_t a, int32_t b) {
    const auto left = token(a).points, right = token(b).points;
    return std::lexicographical_compare(left.begin(), left.end(), right.begin(), right.end());
  });
  std::span<const uint32_t> before;
  for (int32_t id : order_) {
    const auto points = token(id).points;
    const auto differs = std::mismatch(points.begin(), points.end(), before.begin(), before.end()).first;
    shared_.push_back(static_cast<uint32_t>(differs - points.begin()));
    before = points;
  }
  for (int32_t id : {llama_vocab_eot(vocab), llama_vocab_eos(vocab)})
    if (end_ < 0 && id >= 0 && id < n && entries_[id].is_eog) end_ = id;
}

GrammarVocabulary::Token GrammarVocabulary::token(int32_t id) const {
  const Entry& entry = entries_[id];
  return {.bytes = std::string_view(bytes_).substr(entry.first_byte, entry.bytes),
          .points = std::span(points_).subspan(entry.first_point, entry.points),
          .partial = entry.partial,
          .is_text = entry.is_text,
          .is_eog = entry.is_eog};
}

std::vector<int32_t> GrammarVocabulary::tokenize(const std::string& text) const {
  std::vector<int32_t> tokens(text.size() + 2);
  const int n = llama_tokenize(vocab_, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                               static_cast<int32_t>(tokens.size()), false, false);
  tokens.resize(std::max(0, n));
  std::string written;
  for (int32_t id : tokens) written += token(id).bytes;
  // Some tokenizers put a space in front of every text.
  if (written != text) tokens.clear();
  return tokens;
}

}  // namespace adaptive_spec
