// madvise on a buffer's whole pages.
#include "kernels/huge_pages.h"

#include <ggml-backend.h>
#include <ggml.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

namespace adaptive_spec {
namespace {

thread_local CacheWatch* watch = nullptr;

void renew_in_huge_pages(ggml_backend_buffer* buffer) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kHugePage = 2 << 20;
  const auto base = reinterpret_cast<uintptr_t>(ggml_backend_buffer_get_base(buffer));
  const uintptr_t begin = (base + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (base + ggml_backend_buffer_get_size(buffer)) / kHugePage * kHugePage;
  if (begin >= end) return;
  auto* const pages = reinterpret_cast<volatile char*>(begin);
  // Where the system refuses, the pages stay as they are. Pages that are there stay small, so they are given back.
  if (madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE) != 0) return;
  if (madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) != 0) return;
  for (uintptr_t at = 0; at < end - begin; at += kHugePage) pages[at] = 0;  // now, not in front of the first request
#else
  static_cast<void>(buffer);
#endif
}

}  // namespace

CacheWatch::CacheWatch() { watch = this; }
CacheWatch::~CacheWatch() { watch = nullptr; }

void CacheWatch::renew() const {
  for (ggml_backend_buffer* buffer : buffers_) renew_in_huge_pages(buffer);
}

void CacheWatch::note(const ggml_tensor* cache) {
  if (!watch) return;
  ggml_backend_buffer* const buffer = cache->view_src ? cache->view_src->buffer : nullptr;
  auto& buffers = watch->buffers_;
  if (buffer && std::find(buffers.begin(), buffers.end(), buffer) == buffers.end()) buffers.push_back(buffer);
}

}  // namespace adaptive_spec
