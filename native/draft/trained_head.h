// What is needed of a trained draft head, and of its target, before llama.cpp may be given them: it asserts the rest.
#pragma once

#include <string>

#include "engine/context.h"

namespace adaptive_spec {

enum class HeadKind { kEagle3, kMtp, kDflash };

// The drafter's name.
const char* name_of(HeadKind kind);

struct TrainedHead {
  HeadKind kind = HeadKind::kMtp;
  ModelHandle model;  // the target itself where the head is a part of it
  int most = 0;       // tokens of a draft at most; 0: as many as are wanted
};

// Whether a model is a head and no model that generates text by itself.
bool is_trained_head(const llama_model* draft);

// A head in a file of its own. Throws EngineError UNSUPPORTED, MODEL_INVALID or VOCAB_MISMATCH where the two don't fit.
TrainedHead check_head(const ModelHandle& target, ModelHandle draft, const std::string& draft_path);

// The MTP layer that a target brings, which was loaded with it. Throws EngineError UNSUPPORTED or MODEL_INVALID.
TrainedHead check_mtp(const ModelHandle& target, const std::string& target_path);

}  // namespace adaptive_spec
