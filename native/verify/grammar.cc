// The same texts as llama.cpp's grammars allow (native/test/grammar_test.cc compares the two), without its recursion
// and its aborts, and with every follow-up of a stack worked out once.
#include "verify/grammar.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "engine/context.h"

namespace adaptive_spec {
namespace {

using Kind = GrammarElement::Kind;

// An enum of thousands of names is as many stacks at once; a grammar that needs more has no end of them.
constexpr size_t kMostStacks = 20'000;
constexpr size_t kMostFrames = 4'000'000;
// Bytes of forced text that are looked at at a time.
constexpr size_t kForcedAtOnce = 48;

constexpr float kMasked = -std::numeric_limits<float>::infinity();

bool is_token(Kind kind) { return kind == Kind::kToken || kind == Kind::kTokenNot; }

}  // namespace

Grammar::Grammar(std::shared_ptr<const GrammarVocabulary> vocabulary, const GrammarSource& source)
    : vocabulary_(std::move(vocabulary)),
      rules_(parse_grammar(vocabulary_->vocab(), source.text)),
      frames_{{0, 0}},
      words_(source.words) {
  try {
    begin_marks();
    // A rule of its own that refers to the root: elements that no rule has.
    const auto root = static_cast<uint32_t>(rules_.elements.size());
    rules_.elements.push_back({Kind::kRule, rules_.root});
    rules_.elements.push_back({Kind::kEnd, 0});
    expand(push(root, 0), start_.stacks);
    for (const std::string& pattern : source.patterns)
      patterns_.push_back({std::regex(pattern), !pattern.empty() && pattern.front() == '^' && pattern.back() == '$'});
  } catch (const TooMuch&) {
    throw EngineError("GRAMMAR_INVALID", "The grammar can begin in too many ways.", "Give a simpler grammar.");
  } catch (const std::regex_error& error) {
    throw EngineError("GRAMMAR_INVALID", std::string("A pattern that begins the grammar is invalid: ") + error.what(),
                      "Use another chat template, or toolChoice 'required'.");
  }
  place_ = start_;
  place_.waiting = !words_.empty() || !patterns_.empty();
  if (source.prefill.empty()) return;
  Place after;
  // Text alone counts: where the prompt's tokens end is no matter to characters.
  if (!advance(place_, -1, source.prefill, after))
    throw EngineError("GRAMMAR_INVALID", "The grammar doesn't begin as the prompt ends.",
                      "Use another chat template, or toolChoice 'none'.");
  place_ = std::move(after);
}

// --- Frames and stacks.

uint32_t Grammar::push(uint32_t at, uint32_t below) {
  const auto [known, is_new] = known_.try_emplace(uint64_t{at} << 32 | below, frames_.size());
  if (is_new) {
    if (frames_.size() >= kMostFrames) throw TooMuch();
    frames_.push_back({at, below});
  }
  return known->second;
}

void Grammar::begin_marks() { ++search_; }

bool Grammar::mark(uint32_t frame) {
  if (marks_.size() <= frame) marks_.resize(std::max<size_t>(frames_.size(), frame + 1));
  return std::exchange(marks_[frame], search_) != search_;
}

void Grammar::expand(uint32_t frame, Stacks& out) {
  todo_.assign(1, frame);
  while (!todo_.empty()) {
    const uint32_t top = todo_.back();
    todo_.pop_back();
    if (!mark(top)) continue;
    const auto [at, below] = std::pair(frames_[top].at, frames_[top].below);
    if (top == 0 || rules_.elements[at].kind != Kind::kRule) {
      out.push_back(top);
      continue;
    }
    const uint32_t rest = rules_.at_end(at + 1) ? below : push(at + 1, below);
    for (uint32_t alternative = rules_.starts[rules_.elements[at].value];; ++alternative) {
      todo_.push_back(rules_.at_end(alternative) ? rest : push(alternative, rest));
      while (!rules_.at_end(alternative)) ++alternative;
      if (rules_.elements[alternative].kind == Kind::kEnd) break;
    }
    if (out.size() + todo_.size() > kMostStacks) throw TooMuch();
  }
}

std::span<const uint32_t> Grammar::followers(uint32_t frame) {
  if (!frames_[frame].is_followed) {
    const auto [at, below] = std::pair(frames_[frame].at, frames_[frame].below);
    const uint32_t next = behind(at);
    Stacks out;
    begin_marks();
    expand(rules_.at_end(next) ? below : push(next, below), out);
    if (followers_.size() + out.size() > kMostFrames) throw TooMuch();
    Frame& followed = frames_[frame];
    followed.first = static_cast<uint32_t>(followers_.size());
    followed.count = static_cast<uint32_t>(out.size());
    followed.is_followed = true;
    followers_.insert(followers_.end(), out.begin(), out.end());
  }
  return std::span(followers_).subspan(frames_[frame].first, frames_[frame].count);
}

// --- Elements.

uint32_t Grammar::behind(uint32_t at) const {
  ++at;
  while (rules_.elements[at].kind == Kind::kRangeEnd || rules_.elements[at].kind == Kind::kCharAlso) ++at;
  return at;
}

bool Grammar::takes(uint32_t at, uint32_t code_point) const {
  const auto& elements = rules_.elements;
  const Kind kind = elements[at].kind;
  if (kind == Kind::kAny) return true;
  if (is_token(kind)) return false;
  const uint32_t end = behind(at);
  bool found = false;
  for (uint32_t i = at; i < end && !found; ++i) {
    const bool is_range = elements[i + 1].kind == Kind::kRangeEnd;
    found = is_range ? elements[i].value <= code_point && code_point <= elements[i + 1].value
                     : elements[i].value == code_point;
    i += is_range;
  }
  return found == (kind == Kind::kChar);
}

// Whether some character that begins so is taken.
bool Grammar::may_take(uint32_t at, PartialUtf8 partial) const {
  const auto& elements = rules_.elements;
  const Kind kind = elements[at].kind;
  if (is_token(kind) || (partial.missing == 1 && partial.value < 2)) return false;  // the latter would be overlong
  if (kind == Kind::kAny) return true;
  uint32_t low = partial.value << (6 * partial.missing);
  const uint32_t high = low | ((1u << (6 * partial.missing)) - 1);
  if (low == 0) low = partial.missing == 2 ? 1u << 11 : partial.missing == 3 ? 1u << 16 : 0;
  const uint32_t end = behind(at);
  for (uint32_t i = at; i < end; ++i) {
    const bool is_range = elements[i + 1].kind == Kind::kRangeEnd;
    const uint32_t last = elements[i + is_range].value;
    // Of an inverted class llama.cpp takes no beginning of a character that it names.
    if (elements[i].value <= high && low <= last) return kind == Kind::kChar;
    i += is_range;
  }
  return kind == Kind::kCharNot;
}

// --- Reading.

bool Grammar::read(const Stacks& from, uint32_t code_point, Stacks& to) {
  to.clear();
  for (const uint32_t frame : from) {
    if (frame == 0 || !takes(frames_[frame].at, code_point)) continue;
    const auto next = followers(frame);
    to.insert(to.end(), next.begin(), next.end());
  }
  // Followers of one stack are all different.
  if (from.size() > 1) {
    std::sort(to.begin(), to.end());
    to.erase(std::unique(to.begin(), to.end()), to.end());
  }
  if (to.size() > kMostStacks) throw TooMuch();
  return !to.empty();
}

bool Grammar::fits(const Stacks& stacks, PartialUtf8 partial) const {
  if (partial.missing == 0) return !stacks.empty();
  return std::any_of(stacks.begin(), stacks.end(),
                     [&](uint32_t frame) { return frame != 0 && may_take(frames_[frame].at, partial); });
}

// `token` is -1 where only the text counts.
bool Grammar::advance(const Place& from, int32_t token, std::string_view bytes, Place& to) {
  to.partial = from.partial;
  to.waiting = false;
  points_.clear();
  if (!decode_utf8(bytes, to.partial, points_)) return false;
  to.stacks = from.stacks;
  for (size_t i = 0; i < points_.size() && !to.stacks.empty(); ++i) {
    read(to.stacks, points_[i], next_);
    to.stacks.swap(next_);
  }
  bool is_allowed = fits(to.stacks, to.partial);
  for (const uint32_t frame : from.stacks) {
    const GrammarElement element = rules_.elements[frames_[frame].at];
    if (frame == 0 || token < 0 || !is_token(element.kind) || points_.empty()) continue;
    if ((element.value == static_cast<uint32_t>(token)) != (element.kind == Kind::kToken)) continue;
    const auto next = followers(frame);
    to.stacks.insert(to.stacks.end(), next.begin(), next.end());
    is_allowed = true;
  }
  return is_allowed;
}

bool Grammar::walk(Place& place, int32_t token) {
  if (place.waiting) return true;
  const GrammarVocabulary::Token what = vocabulary_->token(token);
  if (what.is_eog) return std::find(place.stacks.begin(), place.stacks.end(), 0u) != place.stacks.end();
  if (!what.is_text && place.partial.missing == 0) return false;
  if (what.bytes.empty() || what.bytes[0] == '\0') return false;
  Place after;
  try {
    if (!advance(place, token, what.bytes, after)) return false;
  } catch (const TooMuch&) {
    return false;
  }
  place = std::move(after);
  return true;
}

bool Grammar::allows(int32_t token) {
  if (too_ambiguous_) return false;
  if (!place_.waiting) {
    Place place = place_;
    return walk(place, token);
  }
  const size_t from = begins_at(vocabulary_->token(token).bytes);
  Place place;
  return from == std::string::npos || begin(from, token, place);
}

void Grammar::accept(int32_t token) {
  const GrammarVocabulary::Token what = vocabulary_->token(token);
  try {
    if (place_.waiting) {
      const size_t from = begins_at(what.bytes);
      Place place;
      if (from != std::string::npos && begin(from, token, place)) {
        place_ = std::move(place);
      } else {
        written_ += what.bytes;
        pieces_.push_back({token, written_.size()});
      }
    } else if (!what.is_eog) {
      Place after;
      advance(place_, token, what.bytes, after);
      place_ = std::move(after);
    }
  } catch (const TooMuch&) {
    too_ambiguous_ = true;
  }
}

// --- Rows.

void Grammar::mask(float* row) {
  if (too_ambiguous_) {
    std::fill_n(row, vocabulary_->size(), kMasked);
    return;
  }
  if (place_.waiting || place_.partial.missing > 0) return mask_one_by_one(row);
  try {
    mask_walking(row);
  } catch (const TooMuch&) {
    mask_one_by_one(row);
  }
}

void Grammar::mask_one_by_one(float* row) {
  for (int32_t id = 0; id < vocabulary_->size(); ++id)
    if (row[id] > kMasked && !allows(id)) row[id] = kMasked;
}

// In order, so that a beginning that several tokens share is read once, and ends them all where it isn't allowed.
void Grammar::mask_walking(float* row) {
  const auto& order = vocabulary_->order();
  const auto& shared = vocabulary_->shared();
  legal_.assign(vocabulary_->size(), 0);
  if (levels_.empty()) levels_.emplace_back();
  levels_[0] = place_.stacks;
  size_t valid = 0;  // levels_[i] are the stacks after i characters of the token before, up to here
  for (size_t i = 0; i < order.size(); ++i) {
    if (shared[i] > valid) continue;
    valid = shared[i];
    const GrammarVocabulary::Token token = vocabulary_->token(order[i]);
    while (valid < token.points.size()) {
      if (levels_.size() <= valid + 1) levels_.emplace_back();
      if (!read(levels_[valid], token.points[valid], levels_[valid + 1])) break;
      ++valid;
    }
    legal_[order[i]] = valid == token.points.size() && fits(levels_[valid], token.partial);
  }
  for (const uint32_t frame : place_.stacks) {
    if (frame == 0) continue;
    const GrammarElement element = rules_.elements[frames_[frame].at];
    if (!is_token(element.kind)) continue;
    for (const int32_t id : order)
      if ((element.value == static_cast<uint32_t>(id)) == (element.kind == Kind::kToken) &&
          !vocabulary_->token(id).points.empty())
        legal_[id] = 1;
  }
  const bool may_end = std::find(place_.stacks.begin(), place_.stacks.end(), 0u) != place_.stacks.end();
  for (int32_t id = 0; id < vocabulary_->size(); ++id) {
    const GrammarVocabulary::Token token = vocabulary_->token(id);
    if (token.is_eog ? !may_end : !legal_[id] || !token.is_text) row[id] = kMasked;
  }
}

// --- Forced text.

std::optional<uint32_t> Grammar::only_character(const Stacks& stacks) const {
  std::optional<uint32_t> only;
  for (const uint32_t frame : stacks) {
    if (frame == 0) return std::nullopt;
    const uint32_t at = frames_[frame].at;
    const GrammarElement element = rules_.elements[at];
    if (element.kind != Kind::kChar || behind(at) != at + 1) return std::nullopt;
    if (only && *only != element.value) return std::nullopt;
    only = element.value;
  }
  return only;
}

std::vector<int32_t> Grammar::forced(const Place& place) {
  std::vector<int32_t> tokens;
  if (place.waiting || place.partial.missing > 0) return tokens;
  std::string text;
  Stacks stacks = place.stacks;
  try {
    while (text.size() < kForcedAtOnce) {
      const auto only = only_character(stacks);
      if (!only) break;
      encode_utf8(*only, text);
      read(stacks, *only, next_);
      stacks.swap(next_);
    }
  } catch (const TooMuch&) {
    return tokens;
  }
  if (!text.empty()) tokens = vocabulary_->tokenize(text);
  const bool is_end = stacks == Stacks{0};
  if (!is_end && !tokens.empty()) tokens.pop_back();
  if (is_end && vocabulary_->end() >= 0 && (text.empty() || !tokens.empty())) tokens.push_back(vocabulary_->end());
  return tokens;
}

// --- Waiting.

size_t Grammar::begins_at(std::string_view bytes) {
  size_t first = std::string::npos;
  const std::string text = written_ + std::string(bytes);
  for (const std::string& word : words_)
    // It may have begun before this token, and wasn't complete then.
    first = std::min(first, text.find(word, written_.size() - std::min(written_.size(), word.size() - 1)));
  for (const Pattern& pattern : patterns_) {
    std::smatch match;
    if (!(pattern.is_whole && std::regex_match(text, match, pattern.regex)) &&
        !std::regex_search(text, match, pattern.regex))
      continue;
    // The first group that matched something, or all of it.
    size_t group = 1;
    while (group < match.size() && match.length(group) == 0) ++group;
    first = std::min(first, static_cast<size_t>(match.position(group < match.size() ? group : 0)));
  }
  return first;
}

bool Grammar::begin(size_t from, int32_t token, Place& to) {
  to = start_;
  const std::string_view written = written_;
  const auto take = [&](int32_t id, std::string_view bytes) {
    Place after;
    if (!advance(to, id, bytes, after)) return false;
    to = std::move(after);
    return true;
  };
  size_t begin = 0;
  for (const auto& [id, end] : pieces_) {
    const size_t first = std::max(begin, from);
    if (end > from && !take(id, written.substr(first, end - first))) return false;
    begin = end;
  }
  const std::string_view bytes = vocabulary_->token(token).bytes;
  return take(token, bytes.substr(from > written.size() ? from - written.size() : 0));
}

}  // namespace adaptive_spec
