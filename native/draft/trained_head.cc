// Checks by what llama.cpp tells of a loaded model, and by its file for what it doesn't tell.
#include "draft/trained_head.h"

#include <gguf.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "draft/vocabulary_map.h"

namespace adaptive_spec {
namespace {

// Those whose graphs give the input of every layer out. Of others llama.cpp asserts that they do.
constexpr std::array kGiveLayers = {"llama", "qwen3", "qwen3moe", "gpt-oss"};
// Those whose MTP layer was tried. Most others are hybrid models, which run without speculation here.
constexpr std::array kHaveMtp = {"glm4moe"};

// A block is one batch, with a row of logits for each of its tokens.
constexpr int kMostBlock = 256;

struct GgufDeleter {
  void operator()(gguf_context* p) const { gguf_free(p); }
};
struct FileDeleter {
  void operator()(FILE* p) const { std::fclose(p); }
};
using Gguf = std::unique_ptr<gguf_context, GgufDeleter>;

Gguf open_gguf(const std::string& path) {
  Gguf file{gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr})};
  if (file) return file;
  throw EngineError("MODEL_INVALID", path + " can't be read again.", "Leave the file where it is while it loads.");
}

bool has(const Gguf& file, const std::string& tensor) { return gguf_find_tensor(file.get(), tensor.c_str()) >= 0; }

// The target's layers whose inputs a head reads.
std::span<const int32_t> layers_of(const Gguf& file, const std::string& arch) {
  const int64_t key = gguf_find_key(file.get(), (arch + ".target_layers").c_str());
  if (key < 0 || gguf_get_kv_type(file.get(), key) != GGUF_TYPE_ARRAY) return {};
  const gguf_type type = gguf_get_arr_type(file.get(), key);
  if (type != GGUF_TYPE_INT32 && type != GGUF_TYPE_UINT32) return {};
  return {static_cast<const int32_t*>(gguf_get_arr_data(file.get(), key)), gguf_get_arr_n(file.get(), key)};
}

std::string text_of(const llama_model* model, const std::string& key) {
  char value[64] = "";
  return llama_model_meta_val_str(model, key.c_str(), value, sizeof value) >= 0 ? value : "";
}

std::string architecture(const llama_model* model) { return text_of(model, "general.architecture"); }

[[noreturn]] void misfit(const std::string& path, const std::string& why) {
  throw EngineError("MODEL_INVALID", path + " doesn't fit the target: " + why + ".",
                    "Use the head that was trained for this very target, or draft: false.");
}

[[noreturn]] void unsupported(const std::string& what) {
  throw EngineError("UNSUPPORTED", what + ".", "Use another draft, or none: n-grams draft then.");
}

void check_vocabulary(const llama_model* target, const llama_model* draft, const std::string& path) {
  const VocabularyMap map(target, draft, path);
  const int32_t n_target = llama_vocab_n_tokens(llama_model_get_vocab(target));
  const int32_t n_draft = llama_vocab_n_tokens(llama_model_get_vocab(draft));
  for (int32_t id = 0; id < std::max(n_target, n_draft); ++id)
    if (id >= n_target || map.to_draft(id) != id)
      throw EngineError("VOCAB_MISMATCH",
                        "The draft head has " + std::to_string(n_draft) + " tokens and the target " +
                            std::to_string(n_target) + ", with ids of their own.",
                        "Use the head that was trained for this very target, or draft: false.");
}

// Which target ids the rows of a smaller vocabulary stand for: llama.cpp asserts that there are such ids.
void check_draft_vocabulary(const Gguf& file, const std::string& path, int32_t n_target) {
  const int64_t tensor = gguf_find_tensor(file.get(), "d2t");
  if (tensor < 0) return;
  if (gguf_get_tensor_type(file.get(), tensor) != GGML_TYPE_I64) misfit(path, "its d2t is not of 64-bit integers");
  if (!has(file, "output.weight")) misfit(path, "it has a d2t and no output matrix of its own");
  std::vector<int64_t> ids(gguf_get_tensor_size(file.get(), tensor) / sizeof(int64_t));
  const std::unique_ptr<FILE, FileDeleter> bytes{std::fopen(path.c_str(), "rb")};
  const auto at = static_cast<long>(gguf_get_data_offset(file.get()) + gguf_get_tensor_offset(file.get(), tensor));
  if (!bytes || std::fseek(bytes.get(), at, SEEK_SET) != 0 ||
      std::fread(ids.data(), sizeof(int64_t), ids.size(), bytes.get()) != ids.size())
    misfit(path, "its d2t can't be read");
  for (const int64_t id : ids)
    if (id < 0 || id >= n_target) misfit(path, "its d2t names the token " + std::to_string(id));
}

void check_layers(const llama_model* target, std::span<const int32_t> ids, const std::string& path) {
  if (ids.empty()) misfit(path, "it reads none of its layers");
  const int32_t layers = llama_model_n_layer(target);
  for (const int32_t id : ids)
    if (id < 0 || id >= layers)
      misfit(path, "it reads the input of layer " + std::to_string(id) + ", and the target has " +
                       std::to_string(layers) + " layers");
  const std::string arch = architecture(target);
  if (std::find(kGiveLayers.begin(), kGiveLayers.end(), arch) == kGiveLayers.end())
    unsupported(path + " reads the target's hidden states, which adaptive-spec takes from models of the architectures "
                       "llama, qwen3, qwen3moe and gpt-oss only, not from " + arch);
}

void check_heads(const llama_model* draft, const std::string& arch, const std::string& path) {
  const std::string size = text_of(draft, arch + ".attention.key_length");
  if (size != text_of(draft, arch + ".attention.value_length")) misfit(path, "its keys and values differ in size");
  if (llama_model_n_embd_out(draft) != llama_model_n_embd(draft) ||
      llama_model_n_embd_inp(draft) != llama_model_n_embd(draft))
    misfit(path, "its embeddings differ in size");
}

void check_eagle3(const llama_model* target, const llama_model* draft, const Gguf& file, const std::string& path) {
  if (llama_model_n_layer(draft) != 1) misfit(path, "it has more than one layer of its own");
  const int32_t width = llama_model_n_embd(target);
  if (text_of(draft, "eagle3.target_hidden_size") != std::to_string(width))
    misfit(path, "it reads hidden states of another size than the target's " + std::to_string(width));
  if (llama_model_n_embd(draft) != width && (!has(file, "token_embd.weight") || !has(file, "output.weight")))
    misfit(path, "it uses the target's embeddings, and has another width");
}

// Answers how many tokens it drafts at most.
int check_dflash(const llama_model* target, const llama_model* draft, const Gguf& file, const std::string& path) {
  if (has(file, "markov_w1.weight") || has(file, "selector_hidden.weight") ||
      gguf_find_key(file.get(), "dflash.hyper_connection_count") >= 0)
    unsupported(path + " is of a kind of DFlash (DSpark, DFlash2) that adaptive-spec doesn't run");
  if (llama_model_n_swa(draft) > 0) unsupported(path + " has a sliding window, which no draft head may have here");
  if (llama_model_rope_type(draft) == LLAMA_ROPE_TYPE_MROPE) unsupported(path + " is made for images too");
  if (llama_model_n_embd(draft) != llama_model_n_embd(target)) misfit(path, "it has another width");
  if (llama_vocab_mask(llama_model_get_vocab(draft)) == LLAMA_TOKEN_NULL)
    misfit(path, "it names no mask token (tokenizer.ggml.mask_token_id)");
  const int block = std::atoi(text_of(draft, "dflash.block_size").c_str());
  if (block < 2 || block > kMostBlock)
    misfit(path, "it names no block size from 2 to " + std::to_string(kMostBlock) + " (dflash.block_size)");
  return block - 1;
}

}  // namespace

const char* name_of(HeadKind kind) {
  switch (kind) {
    case HeadKind::kEagle3:
      return "eagle3";
    case HeadKind::kMtp:
      return "mtp";
    case HeadKind::kDflash:
      return "dflash";
  }
  return "";
}

bool is_trained_head(const llama_model* draft) {
  const std::string arch = architecture(draft);
  return arch == "eagle3" || arch == "dflash";
}

TrainedHead check_head(const ModelHandle& target, ModelHandle draft, const std::string& path) {
  const std::string arch = architecture(draft.get());
  const Gguf file = open_gguf(path);
  check_layers(target.get(), layers_of(file, arch), path);
  check_heads(draft.get(), arch, path);
  TrainedHead head{.kind = arch == "eagle3" ? HeadKind::kEagle3 : HeadKind::kDflash, .model = draft};
  if (head.kind == HeadKind::kEagle3)
    check_eagle3(target.get(), draft.get(), file, path);
  else
    head.most = check_dflash(target.get(), draft.get(), file, path);
  check_vocabulary(target.get(), draft.get(), path);
  check_draft_vocabulary(file, path, llama_vocab_n_tokens(llama_model_get_vocab(target.get())));
  return head;
}

TrainedHead check_mtp(const ModelHandle& target, const std::string& path) {
  const std::string arch = architecture(target.get());
  if (std::find(kHaveMtp.begin(), kHaveMtp.end(), arch) == kHaveMtp.end())
    unsupported("MTP layers are run of models of the architecture glm4moe only, and " + path + " is of " + arch);
  if (llama_model_n_layer_nextn(target.get()) != 1)
    unsupported(path + " doesn't have one MTP layer, but " + std::to_string(llama_model_n_layer_nextn(target.get())));
  if (llama_model_rope_type(target.get()) == LLAMA_ROPE_TYPE_MROPE) unsupported(path + " is made for images too");
  check_heads(target.get(), arch, path);
  // Its checks are made of the parts of a split model before they come here.
  const Gguf file = open_gguf(path);
  const std::string layer = "blk." + std::to_string(llama_model_n_layer(target.get()));
  const bool is_split = gguf_find_key(file.get(), "split.count") >= 0;
  if (!is_split && (!has(file, layer + ".nextn.eh_proj.weight") || !has(file, layer + ".ffn_gate_inp.weight")))
    throw EngineError("MODEL_INVALID", path + " says that it has an MTP layer, and lacks weights of it.",
                      "Use a file with the MTP layer, or another draft.");
  return {.kind = HeadKind::kMtp, .model = target};
}

}  // namespace adaptive_spec
