// The longest token, and the bytes that have one of their own.
#include "engine/token_length.h"

#include <algorithm>
#include <string>

#include "engine/context.h"

namespace adaptive_spec {
namespace {

std::string tokenizer_of(const llama_model* model) {
  char name[64] = "";
  llama_model_meta_val_str(model, "tokenizer.ggml.model", name, sizeof name);
  return name;
}

}  // namespace

TokenLength::TokenLength(const llama_model* model) {
  const llama_vocab* vocab = llama_model_get_vocab(model);
  // llama.cpp's other tokenizers change the text first: WPM's case and accents, UGM's runs of spaces.
  const bool is_bpe = llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_BPE && tokenizer_of(model) == "gpt2";
  const bool is_spm = llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_SPM;
  if (!is_bpe && !is_spm) return;
  // A character that SPM has no token for becomes the tokens of its bytes.
  has_token_.fill(is_spm);
  size_t longest = 0;
  std::string piece;
  for (int32_t id = 0; id < llama_vocab_n_tokens(vocab); ++id) {
    const int attributes = llama_vocab_get_attr(vocab, id);
    if (attributes & (LLAMA_TOKEN_ATTR_LSTRIP | LLAMA_TOKEN_ATTR_RSTRIP)) return;  // takes spaces beside it along
    piece.clear();
    append_piece(vocab, id, piece, true);
    longest = std::max(longest, piece.size());
    if (piece.size() == 1) has_token_[static_cast<uint8_t>(piece[0])] = true;
  }
  longest_ = static_cast<int>(longest);
}

int64_t TokenLength::fewest(std::string_view text) const {
  if (longest_ == 0) return 0;
  const int64_t written =
      std::count_if(text.begin(), text.end(), [this](char byte) { return has_token_[static_cast<uint8_t>(byte)]; });
  return (written + longest_ - 1) / longest_;
}

}  // namespace adaptive_spec
