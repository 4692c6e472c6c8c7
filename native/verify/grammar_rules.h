// A GBNF grammar as rules: llama.cpp's parser, with errors that can be caught and limits that it hasn't.
#pragma once

#include <llama.h>

#include <cstdint>
#include <string>
#include <vector>

namespace adaptive_spec {

struct GrammarElement {
  // Numbered as llama.cpp's.
  enum Kind : uint32_t {
    kEnd,          // of a rule
    kAlternative,  // another one of the same rule begins
    kRule,         // value: its id
    kChar,         // value: a code point; ranges and further characters of a class follow
    kCharNot,      // the same, inverted
    kRangeEnd,     // the code point before it begins a range, inclusive
    kCharAlso,
    kAny,
    kToken,  // value: a token's id
    kTokenNot,
  };
  Kind kind;
  uint32_t value;
};

struct GrammarRules {
  std::vector<GrammarElement> elements;  // of all rules, each ending with kEnd
  std::vector<uint32_t> starts;          // by rule id: where its elements begin
  uint32_t root = 0;                     // a rule id

  bool at_end(uint32_t at) const { return elements[at].kind <= GrammarElement::kAlternative; }
};

// Throws EngineError GRAMMAR_INVALID: what doesn't parse, has no rule `root`, names rules that aren't there, recurses
// on the left, or is beyond all use in size.
GrammarRules parse_grammar(const llama_vocab* vocab, const std::string& text);

}  // namespace adaptive_spec
