// UTF-8 borders and stop strings over pending bytes.
#include "engine/text_stream.h"

#include <algorithm>
#include <utility>

namespace adaptive_spec {
namespace {

// Bytes at the end of `text` that begin a character and don't finish it.
size_t unfinished_character(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

// Length of the longest end of `text` with which `stop` begins.
size_t begun(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n)
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  return 0;
}

}  // namespace

bool TextStream::add(std::string_view piece) {
  pending_ += piece;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_)
    if (const size_t at = pending_.find(stop); at < first) {
      first = at;
      stopped_by_ = stop;
    }
  if (first == std::string::npos) return false;
  pending_.resize(first);
  stopped_ = true;
  return true;
}

size_t TextStream::releasable() const {
  size_t held = stopped_ ? 0 : unfinished_character(pending_);
  if (!stopped_)
    for (const std::string& stop : stops_) held = std::max(held, begun(pending_, stop));
  return pending_.size() - held;
}

std::string TextStream::take() {
  std::string text = pending_.substr(0, releasable());
  // Held bytes of a stop string may themselves cut a character.
  text.resize(text.size() - (stopped_ ? 0 : unfinished_character(text)));
  pending_.erase(0, text.size());
  return text;
}

std::string TextStream::take_rest() { return std::exchange(pending_, {}); }

}  // namespace adaptive_spec
