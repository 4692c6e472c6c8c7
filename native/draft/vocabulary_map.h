// Which draft ids stand for which target ids: equal vocabularies, padded ones, or a small one with id maps.
#pragma once

#include <llama.h>

#include <cstdint>
#include <string>
#include <vector>

namespace adaptive_spec {

class VocabularyMap {
 public:
  // Compares the two models' vocabularies, or reads the maps `adaptive_spec.draft_to_target` and
  // `adaptive_spec.target_to_draft` (int32 arrays) from the draft's file. Throws EngineError VOCAB_MISMATCH
  // with the first difference.
  VocabularyMap(const llama_model* target, const llama_model* draft, const std::string& draft_path);

  // -1 where the other model has no such id: it is never fed there, and the draft ends.
  int32_t to_draft(int32_t target_id) const {
    if (target_to_draft_.empty()) return target_id < n_draft_ ? target_id : -1;
    return target_to_draft_[target_id];
  }
  int32_t to_target(int32_t draft_id) const {
    if (draft_to_target_.empty()) return draft_id < n_target_ ? draft_id : -1;
    return draft_to_target_[draft_id];
  }
  // Draft ids that end a generation in the target.
  const std::vector<int32_t>& draft_eog() const { return draft_eog_; }

 private:
  int32_t n_target_, n_draft_;
  std::vector<int32_t> draft_to_target_, target_to_draft_, draft_eog_;
};

}  // namespace adaptive_spec
