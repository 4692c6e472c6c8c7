// Compares vocabularies and reads id maps.
#include "draft/vocabulary_map.h"

#include <gguf.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "engine/context.h"

namespace adaptive_spec {
namespace {

// As llama.cpp: the first ids are special tokens whose texts may differ, and padding of up to 128 ids is usual.
constexpr int32_t kFirstComparedId = 5;
constexpr int32_t kMaxPadding = 128;
constexpr const char* kDraftToTarget = "adaptive_spec.draft_to_target";
constexpr const char* kTargetToDraft = "adaptive_spec.target_to_draft";

[[noreturn]] void mismatch(const std::string& difference) {
  throw EngineError("VOCAB_MISMATCH", "The draft's vocabulary doesn't fit the target's: " + difference,
                    "Use a draft of the same model family, or one with adaptive_spec id maps, or draft: false.");
}

struct GgufDeleter {
  void operator()(gguf_context* p) const { gguf_free(p); }
};

std::vector<int32_t> read_map(const gguf_context* file, const char* key, int32_t size, int32_t limit) {
  const int64_t id = gguf_find_key(file, key);
  if (id < 0 || gguf_get_kv_type(file, id) != GGUF_TYPE_ARRAY || gguf_get_arr_type(file, id) != GGUF_TYPE_INT32)
    mismatch(std::string(key) + " is not an int32 array.");
  const size_t n = gguf_get_arr_n(file, id);
  if (n != static_cast<size_t>(size))
    mismatch(std::string(key) + " has " + std::to_string(n) + " entries and needs " + std::to_string(size) + ".");
  const auto* values = static_cast<const int32_t*>(gguf_get_arr_data(file, id));
  for (size_t i = 0; i < n; ++i)
    if (values[i] < 0 || values[i] >= limit)
      mismatch(std::string(key) + "[" + std::to_string(i) + "] is " + std::to_string(values[i]) +
               ", outside 0 to " + std::to_string(limit - 1) + ".");
  return {values, values + n};
}

std::string special_token(const char* what, bool add, int32_t id) {
  return std::string(what) + (add ? " is added (id " + std::to_string(id) + ")" : " is not added");
}

void compare(const llama_vocab* target, const llama_vocab* draft, int32_t n_target, int32_t n_draft) {
  if (llama_vocab_type(target) != llama_vocab_type(draft))
    mismatch("the tokenizer types differ (target " + std::to_string(llama_vocab_type(target)) + ", draft " +
             std::to_string(llama_vocab_type(draft)) + ").");
  const auto compare_special = [](const char* what, bool add_target, int32_t target_id, bool add_draft,
                                  int32_t draft_id) {
    if (add_target != add_draft || (add_target && target_id != draft_id))
      mismatch("in the target " + special_token(what, add_target, target_id) + ", in the draft " +
               special_token(what, add_draft, draft_id) + ".");
  };
  compare_special("BOS", llama_vocab_get_add_bos(target), llama_vocab_bos(target), llama_vocab_get_add_bos(draft),
                  llama_vocab_bos(draft));
  compare_special("EOS", llama_vocab_get_add_eos(target), llama_vocab_eos(target), llama_vocab_get_add_eos(draft),
                  llama_vocab_eos(draft));
  if (std::abs(n_target - n_draft) > kMaxPadding)
    mismatch("the target has " + std::to_string(n_target) + " tokens and the draft " + std::to_string(n_draft) +
             "; up to " + std::to_string(kMaxPadding) + " ids of padding are accepted.");
  for (int32_t id = kFirstComparedId; id < std::min(n_target, n_draft); ++id) {
    const char* in_target = llama_vocab_get_text(target, id);
    const char* in_draft = llama_vocab_get_text(draft, id);
    if (std::strcmp(in_target, in_draft) != 0)
      mismatch("token " + std::to_string(id) + " is '" + in_target + "' in the target and '" + in_draft +
               "' in the draft.");
  }
}

}  // namespace

VocabularyMap::VocabularyMap(const llama_model* target, const llama_model* draft, const std::string& draft_path) {
  const llama_vocab* target_vocab = llama_model_get_vocab(target);
  const llama_vocab* draft_vocab = llama_model_get_vocab(draft);
  n_target_ = llama_vocab_n_tokens(target_vocab);
  n_draft_ = llama_vocab_n_tokens(draft_vocab);

  const std::unique_ptr<gguf_context, GgufDeleter> file{
      gguf_init_from_file(draft_path.c_str(), {.no_alloc = true, .ctx = nullptr})};
  if (file && (gguf_find_key(file.get(), kDraftToTarget) >= 0 || gguf_find_key(file.get(), kTargetToDraft) >= 0)) {
    draft_to_target_ = read_map(file.get(), kDraftToTarget, n_draft_, n_target_);
    target_to_draft_ = read_map(file.get(), kTargetToDraft, n_target_, n_draft_);
  } else {
    compare(target_vocab, draft_vocab, n_target_, n_draft_);
  }
  for (int32_t id = 0; id < n_draft_; ++id)
    if (const int32_t in_target = to_target(id); in_target >= 0 && llama_vocab_is_eog(target_vocab, in_target))
      draft_eog_.push_back(id);
}

}  // namespace adaptive_spec
