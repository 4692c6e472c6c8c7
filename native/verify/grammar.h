// What a grammar allows after a text: checks tokens, masks rows, and finds where it leaves one choice.
//
// A place in a grammar is a set of stacks, as in llama.cpp: each holds what is still to come, its top an element that
// takes a character or a token; the empty stack is a text that may end. Stacks are chains of shared frames that never
// change, so a place is a list of numbers, and to copy one for a draft's walk costs nothing.
#pragma once

#include <memory>
#include <optional>
#include <regex>
#include <span>
#include <unordered_map>
#include <vector>

#include "verify/grammar_rules.h"
#include "verify/grammar_vocabulary.h"

namespace adaptive_spec {

struct GrammarSource {
  std::string text;  // GBNF
  // With one of these the grammar holds from where one is found in the text on, and nothing does before.
  std::vector<std::string> words, patterns;
  std::string prefill;  // what of the grammar's text the prompt has already
};

class Grammar {
 public:
  struct Place {
    std::vector<uint32_t> stacks;  // frames; 0 is the empty stack
    PartialUtf8 partial;
    bool waiting = false;  // for a word or pattern: everything is allowed
  };

  // Throws EngineError GRAMMAR_INVALID.
  Grammar(std::shared_ptr<const GrammarVocabulary> vocabulary, const GrammarSource& source);

  // Whether the token may come after those that were accepted.
  bool allows(int32_t token);
  // -Inf for every token of the row that may not.
  void mask(float* row);
  // A token that is allowed.
  void accept(int32_t token);
  // True where reading it took more than any useful grammar does. Nothing is allowed from then on.
  bool is_too_ambiguous() const { return too_ambiguous_; }

  const Place& place() const { return place_; }
  // Goes on by a token. False: it isn't allowed there, and `place` stays.
  bool walk(Place& place, int32_t token);
  // Tokens that come next wherever the grammar leaves one text, without the last one where more may follow: it may be
  // part of a longer token.
  std::vector<int32_t> forced(const Place& place);

 private:
  using Stacks = std::vector<uint32_t>;
  struct Frame {
    uint32_t at, below;  // an element, and the frame under it
    // The stacks that follow once the element has taken what it takes: a part of followers_.
    uint32_t first = 0, count = 0;
    bool is_followed = false;
  };
  struct TooMuch {};  // thrown where there are more stacks than anybody means

  uint32_t push(uint32_t at, uint32_t below);
  // Appends the stacks to which `frame` leads before anything is read.
  void expand(uint32_t frame, Stacks& out);
  std::span<const uint32_t> followers(uint32_t frame);
  uint32_t behind(uint32_t at) const;  // of a character class, where it ends
  bool takes(uint32_t at, uint32_t code_point) const;
  bool may_take(uint32_t at, PartialUtf8 partial) const;
  // Stacks after a character. False: none.
  bool read(const Stacks& from, uint32_t code_point, Stacks& to);
  bool advance(const Place& from, int32_t token, std::string_view bytes, Place& to);
  bool fits(const Stacks& stacks, PartialUtf8 partial) const;
  void begin_marks();
  bool mark(uint32_t frame);  // false: it had one
  std::optional<uint32_t> only_character(const Stacks& stacks) const;

  // While waiting: where the grammar begins in the text with this token. npos: not yet.
  size_t begins_at(std::string_view bytes);
  // What the grammar makes of the text from there on. False: it doesn't allow that.
  bool begin(size_t from, int32_t token, Place& to);
  void mask_walking(float* row);
  void mask_one_by_one(float* row);

  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  GrammarRules rules_;
  std::vector<Frame> frames_;
  std::unordered_map<uint64_t, uint32_t> known_;  // frames by element and frame below
  Stacks followers_;
  std::vector<uint32_t> marks_;  // by frame: the last search that met it
  uint32_t search_ = 0;
  Place start_, place_;
  bool too_ambiguous_ = false;

  std::vector<std::string> words_;
  struct Pattern {
    std::regex regex;
    bool is_whole;  // it must match the whole text
  };
  std::vector<Pattern> patterns_;
  std::string written_;  // while waiting
  std::vector<std::pair<int32_t, size_t>> pieces_;  // of it: tokens, and where each ends

  // Scratch.
  std::vector<uint32_t> todo_, points_;
  Stacks next_;
  std::vector<Stacks> levels_;
  std::vector<char> legal_;
};

}  // namespace adaptive_spec
