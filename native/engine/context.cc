// Owned llama.cpp handles; error mapping.
#include "engine/context.h"

#include <ggml-cpu.h>
#include <gguf.h>
#include <sys/stat.h>

#include <algorithm>
#include <mutex>

#include "engine/model_share.h"
#include "kernels/buffer_type.h"
#include "kernels/huge_pages.h"
#include "kernels/instruction_set.h"
#include "kernels/pack.h"

namespace adaptive_spec {
namespace {

// llama.cpp logs why a load failed on the thread that loads, so this is the answer to "why?".
thread_local std::string last_log_error;

void keep_last_error(ggml_log_level level, const char* text, void*) {
  if (level != GGML_LOG_LEVEL_ERROR || !text) return;
  last_log_error = text;
  while (!last_log_error.empty() && last_log_error.back() == '\n') last_log_error.pop_back();
}

ggml_type kv_type(const std::string& name) {
  static constexpr std::pair<const char*, ggml_type> kTypes[] = {
      {"f32", GGML_TYPE_F32},   {"f16", GGML_TYPE_F16},   {"bf16", GGML_TYPE_BF16},
      {"q8_0", GGML_TYPE_Q8_0}, {"q5_1", GGML_TYPE_Q5_1}, {"q5_0", GGML_TYPE_Q5_0},
      {"q4_1", GGML_TYPE_Q4_1}, {"q4_0", GGML_TYPE_Q4_0}, {"iq4_nl", GGML_TYPE_IQ4_NL}};
  for (const auto& [text, type] : kTypes)
    if (name == text) return type;
  throw EngineError("INVALID_ARGUMENT", "Unknown KV cache type '" + name + "'.", "Use f16, bf16, f32 or q8_0.");
}

// Whether most of a file's bytes are weights that our kernels repack. Of a split model, the first part answers.
bool is_mostly_repacked(const std::string& path) {
  ggml_context* tensors = nullptr;
  gguf_context* file = gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = &tensors});
  if (!file) return false;  // loading says what is wrong
  size_t all = 0, repacked = 0;
  for (ggml_tensor* t = ggml_get_first_tensor(tensors); t; t = ggml_get_next_tensor(tensors, t)) {
    all += ggml_nbytes(t);
    if (ggml_n_dims(t) > 1 && packed_format(t->type, t->ne[0])) repacked += ggml_nbytes(t);
  }
  gguf_free(file);
  ggml_free(tensors);
  return 2 * repacked > all;
}

}  // namespace

void ThreadPoolDeleter::operator()(ggml_threadpool* p) const { ggml_threadpool_free(p); }

void start_backend() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(keep_last_error, nullptr);
    install_kernels();
    llama_backend_init();
  });
}

const KernelSet* find_kernels(const std::string& name) {
  try {
    return kernel_set(name);
  } catch (const std::invalid_argument& error) {
    std::string names;
    for (const std::string& available : available_kernels()) names += ", " + available;
    throw EngineError("UNSUPPORTED", std::string(error.what()) + ".", "Use auto" + names + ".");
  }
}

namespace {

// What makes two loads the same: the file, as it is now, and how its weights are held.
std::string key_of(const ModelOptions& options, bool mmap) {
  struct stat file {};
  if (stat(options.path.c_str(), &file) != 0) return {};
  std::string key;
  for (const auto number : {static_cast<int64_t>(file.st_dev), static_cast<int64_t>(file.st_ino),
                            static_cast<int64_t>(file.st_size), static_cast<int64_t>(file.st_mtim.tv_sec),
                            static_cast<int64_t>(file.st_mtim.tv_nsec), static_cast<int64_t>(mmap),
                            static_cast<int64_t>(options.mlock), static_cast<int64_t>(options.mtp)})
    key += std::to_string(number) + " ";
  return key + (options.kernels ? options.kernels->name : "ggml") + " " + options.placement;
}

ModelHandle load_own(const ModelOptions& options, bool mmap) {
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = 0;
  params.load_mtp = options.mtp;
  params.load_mode = mmap ? (options.mlock ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_MMAP)
                                  : (options.mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE);
  params.progress_callback = [](float done, void* data) {
    const auto& progress = *static_cast<const std::function<bool(float)>*>(data);
    return !progress || progress(done);
  };
  params.progress_callback_user_data = const_cast<std::function<bool(float)>*>(&options.progress);
  last_log_error.clear();
  std::string why;
  const LoadScope scope(options.kernels, options.threads, options.mlock);
  try {
    if (ModelHandle model{llama_model_load_from_file(options.path.c_str(), params), ModelDeleter()}) return model;
    why = last_log_error;
  } catch (const std::bad_alloc&) {
    throw EngineError("OUT_OF_MEMORY", "Not enough memory to load " + options.path + ".",
                      "Use a smaller model or a smaller quantisation.");
  } catch (const std::exception& error) {
    why = error.what();
  }
  throw EngineError("MODEL_INVALID",
                    "llama.cpp can't load " + options.path + (why.empty() ? "." : ": " + why),
                    "Check that the file is a complete GGUF text model that llama.cpp v0.5.0 knows.");
}

}  // namespace

ModelHandle load_model(const ModelOptions& options) {
  // Repacked weights are copies, and the file that they came from would stay mapped beside them.
  const bool mmap = options.mmap && !(options.kernels && is_mostly_repacked(options.path));
  const std::string key = key_of(options, mmap);
  if (key.empty()) return load_own(options, mmap);  // which says what is wrong with the file
  bool is_own = false;
  const auto load = [&] {
    is_own = true;
    return load_own(options, mmap);
  };
  ModelHandle model = share_model(key, load, [&] { return !options.progress || options.progress(0); });
  if (model && !is_own && options.progress) options.progress(1);
  if (!model) throw EngineError("DISPOSED", "The engine was closed while it loaded.", "Make another.");
  return model;
}

ThreadPoolHandle make_thread_pool(int threads) {
  ggml_threadpool_params params = ggml_threadpool_params_default(threads);
  // Between graphs threads spin for a few milliseconds, as long as a step's pauses; the default is some hundred, on
  // cores that JavaScript or another process could use.
  params.poll = 1;
  ThreadPoolHandle pool{ggml_threadpool_new(&params), ThreadPoolDeleter()};
  if (!pool) throw EngineError("NATIVE_FAILURE", "Could not start the thread pool.", "Use fewer threads.");
  return pool;
}

Context::Context(llama_model* model, const ContextOptions& options, ggml_threadpool* pool,
                 const std::atomic<bool>* abort)
    : kernels_(options.kernels),
      n_vocab_(llama_vocab_n_tokens(llama_model_get_vocab(model))),
      context_size_(options.context_size),
      // Tokens accepted beside a chain are read again in front of the next one: at most all that a step verified.
      batch_size_(std::max(options.batch_size, options.max_rows * (options.branches > 0 ? 2 : 1))),
      max_rows_(options.max_rows),
      parallel_(options.parallel),
      branches_(options.branches) {
  // llama.cpp computes a batch of these in one go, but not of models with a state.
  shares_cells_ = parallel_ > 1 && !llama_model_is_recurrent(model) && !llama_model_is_hybrid(model);
  batch_ = llama_batch_init(batch_size_, 0, branches_ + 1);
  try {
    // Our attention is exact and fast, ggml's flash attention is neither with few rows: it is not taken by default.
    const bool try_ours = options.flash_attention < 0 && kernels_ && options.kv_type == "f16";
    create(model, options, pool, abort, options.flash_attention > 0 || try_ours);
    if (try_ours && !attends()) create(model, options, pool, abort, false);
  } catch (...) {
    llama_batch_free(batch_);
    throw;
  }
}

void Context::create(llama_model* model, const ContextOptions& options, ggml_threadpool* pool,
                     const std::atomic<bool>* abort, bool flash_attention) {
  graphs_.reset();
  ctx_.reset();
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<uint32_t>(options.context_size) * options.parallel;
  params.n_batch = params.n_ubatch = batch_size_;
  params.n_seq_max = options.parallel * (branches_ + 1);
  // Split streams would cut a batch of unequal depths into several passes over the weights, and share no cells.
  params.kv_unified = params.n_seq_max > 1;
  // llama.cpp would abort where sequences could be more than outputs.
  params.n_outputs_max = std::max<uint32_t>(max_rows_, params.n_seq_max);
  params.n_threads = params.n_threads_batch = options.threads;
  params.flash_attn_type = flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.type_k = params.type_v = kv_type(options.kv_type);
  params.no_perf = true;
  params.abort_callback = [](void* flag) {
    return static_cast<const std::atomic<bool>*>(flag)->load(std::memory_order_relaxed);
  };
  params.abort_callback_data = const_cast<std::atomic<bool>*>(abort);
  last_log_error.clear();
  std::string why;
  try {
    ctx_.reset(llama_init_from_model(model, params));
    why = last_log_error;
  } catch (const std::bad_alloc&) {
    why = "not enough memory";
  } catch (const std::exception& error) {
    why = error.what();
  }
  if (!ctx_)
    throw EngineError("OUT_OF_MEMORY",
                      "llama.cpp could not create a context of " + std::to_string(options.context_size) +
                          " tokens" + (why.empty() ? "." : ": " + why),
                      "Use a smaller contextSize, a smaller kvCacheType or a smaller model.");
  graphs_.emplace(ctx_.get());
  flash_attention_ = flash_attention;
  threads_.attach(ctx_.get(), pool, options.threads);
}

Context::~Context() { llama_batch_free(batch_); }

bool Context::attends() {
  clear_batch();
  add(0, 0, 0, false);
  const uint64_t left_before = attention_left_to_ggml();
  const CacheWatch caches;
  const bool ok = decode() == DecodeStatus::kOk && attention_left_to_ggml() == left_before;
  forget_all();
  if (ok) caches.renew();
  return ok;
}

int Context::add(int32_t token, int position, int seq, bool logits, uint32_t branches) {
  branches &= (2u << branches_) - 1;
  if (token < 0 || token >= n_vocab_ || position < 0 || position >= context_size_ || seq < 0 ||
      seq >= parallel_ || branches == 0 || batch_.n_tokens >= batch_size_ ||
      (logits && rows_with_logits_ >= max_rows_))
    throw EngineError("NATIVE_FAILURE",
                      "A batch row is out of range (token " + std::to_string(token) + ", position " +
                          std::to_string(position) + ", sequence " + std::to_string(seq) + ").",
                      "Please report this: it is a defect of adaptive-spec.");
  const int row = batch_.n_tokens++;
  batch_.token[row] = token;
  batch_.pos[row] = position;
  int& ids = batch_.n_seq_id[row] = 0;
  for (int branch = 0; branch <= branches_; ++branch)
    if (branches >> branch & 1) batch_.seq_id[row][ids++] = id(seq, branch);
  batch_.logits[row] = logits;
  rows_with_logits_ += logits;
  has_branches_ |= (branches & 1) == 0;
  return row;
}

DecodeStatus Context::decode() {
  last_log_error.clear();
  last_error_.clear();
  const ComputeScope scope(kernels_, has_branches_, shares_cells_);
  try {
    int status = 0;
    threads_.compute([&] {
      graphs_->take(batch_.n_tokens, rows_with_logits_);
      status = llama_decode(ctx_.get(), batch_);
      return status == 0 || status == 2;
    });
    if (status == 0) return DecodeStatus::kOk;
    if (status == 2) return DecodeStatus::kAborted;
    last_error_ = "llama_decode answered " + std::to_string(status) +
                  (last_log_error.empty() ? "" : ": " + last_log_error);
  } catch (const std::exception& error) {
    last_error_ = error.what();
  }
  return DecodeStatus::kFailed;
}

float* Context::logits(int row) {
  float* values = llama_get_logits_ith(ctx_.get(), row);
  if (!values)
    throw EngineError("NATIVE_FAILURE", "llama.cpp has no logits for row " + std::to_string(row) + ".",
                      "Please report this: it is a defect of adaptive-spec.");
  return values;
}

void Context::keep(int seq, int length) {
  // Each call looks at all cells; where there is one sequence, one call does for all its branches.
  const bool at_once = parallel_ == 1 && branches_ > 0;
  for (int branch = 0; branch <= (at_once ? 0 : branches_); ++branch)
    llama_memory_seq_rm(llama_get_memory(ctx_.get()), at_once ? -1 : id(seq, branch), length, -1);
}

void Context::fork(int seq, int branch, int position, int from, int length) {
  const llama_memory_t memory = llama_get_memory(ctx_.get());
  llama_memory_seq_rm(memory, id(seq, branch), position, -1);
  if (length > position) llama_memory_seq_cp(memory, id(seq, from), id(seq, branch), position, length);
}

void Context::join(int seq, int length, std::span<const int> forks) {
  const llama_memory_t memory = llama_get_memory(ctx_.get());
  for (size_t i = 0; i < forks.size(); ++i) {
    const llama_seq_id branch = id(seq, static_cast<int>(i) + 1);
    llama_memory_seq_rm(memory, branch, forks[i], -1);
    if (length > forks[i]) llama_memory_seq_cp(memory, id(seq, 0), branch, forks[i], length);
  }
  keep(seq, length);
}

void Context::forget(int seq) {
  for (int branch = 0; branch <= branches_; ++branch)
    llama_memory_seq_rm(llama_get_memory(ctx_.get()), id(seq, branch), -1, -1);
}

void Context::forget_all() { llama_memory_clear(llama_get_memory(ctx_.get()), false); }

void Context::wipe() { llama_memory_clear(llama_get_memory(ctx_.get()), true); }

int Context::length(int seq) const {
  return llama_memory_seq_pos_max(llama_get_memory(ctx_.get()), id(seq, 0)) + 1;
}

std::vector<uint8_t> Context::state(int seq) {
  try {
    std::vector<uint8_t> data(llama_state_seq_get_size(ctx_.get(), id(seq, 0)));
    data.resize(llama_state_seq_get_data(ctx_.get(), data.data(), data.size(), id(seq, 0)));
    return data;
  } catch (const std::exception&) {
    return {};
  }
}

bool Context::set_state(int seq, std::span<const uint8_t> state, int length) {
  forget(seq);
  if (state.empty() || length == 0) return length == 0;
  const llama_memory_t memory = llama_get_memory(ctx_.get());
  try {
    if (llama_state_seq_set_data(ctx_.get(), state.data(), state.size(), id(seq, 0)) == state.size() &&
        this->length(seq) == length && llama_memory_seq_pos_min(memory, id(seq, 0)) == 0) {
      for (int branch = 1; branch <= branches_; ++branch)
        llama_memory_seq_cp(memory, id(seq, 0), id(seq, branch), 0, length);
      return true;
    }
  } catch (const std::exception&) {
    // As where it doesn't fit.
  }
  forget(seq);
  return false;
}

bool Context::can_roll_back() {
  clear_batch();
  add(0, 0, 0, false);
  add(0, 1, 0, true);
  const bool ok =
      decode() == DecodeStatus::kOk && llama_memory_seq_rm(llama_get_memory(ctx_.get()), 0, 1, -1);
  forget_all();
  return ok;
}

bool Context::can_branch() { return flash_attention_ && kernels_ && attends(); }

void append_piece(const llama_vocab* vocab, int32_t token, std::string& out, bool names) {
  char buffer[256];
  const int n = llama_token_to_piece(vocab, token, buffer, sizeof buffer, 0, names);
  if (n >= 0) {
    out.append(buffer, n);
    return;
  }
  const size_t start = out.size();
  out.resize(start - n);
  llama_token_to_piece(vocab, token, out.data() + start, -n, 0, names);
}

}  // namespace adaptive_spec
