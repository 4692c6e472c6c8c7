// Limits first, since llama.cpp's parser recurses and copies without any; then the parser; then what it doesn't check.
#include "verify/grammar_rules.h"

#include <llama-grammar.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "engine/context.h"

namespace adaptive_spec {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr int kMostNested = 1000;           // parentheses: the parser recurses once for each
constexpr uint64_t kMostRepeated = 500'000;  // elements that repetitions copy
constexpr uint64_t kMostTimes = 2000;        // more, llama.cpp refuses or takes for any number

[[noreturn]] void refuse(const std::string& why) {
  throw EngineError("GRAMMAR_INVALID", "The grammar can't be used: " + why,
                    "Give a GBNF grammar with a rule named root, such as: root ::= \"yes\" | \"no\"");
}

// How deep and how large parsing will get, by the text alone.
class Size {
 public:
  explicit Size(std::string_view text) : text_(text) {}

  void check() {
    if (text_.size() > kMostBytes) refuse("it has more than " + std::to_string(kMostBytes) + " bytes.");
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\0') refuse("it has a NUL character.");
      if (c == '#') skip_to('\n');
      if (c == '"' || c == '[') last_ = skip_to(c == '[' ? ']' : '"');
      if (c == '<') {
        skip_to('>');
        last_ = 1;
      }
      if (std::isalnum(static_cast<unsigned char>(c)) || c == '.') last_ = 1;
      if (c == '(' && ++nested_ > kMostNested) refuse("its parentheses are nested too deep.");
      if (c == ')') {
        --nested_;
        last_ = 1;
      }
      if (c == '{') repeat();
    }
  }

 private:
  // Answers the bytes up to there. Ends on `end`, or at the text's end.
  uint64_t skip_to(char end) {
    const size_t start = at_;
    while (++at_ < text_.size() && text_[at_] != end)
      if (text_[at_] == '\\' && end != '\n' && end != '>') ++at_;
    return at_ - start;
  }

  void repeat() {
    uint64_t times = 0, number = 0;
    for (; at_ < text_.size() && text_[at_] != '}'; ++at_) {
      const char c = text_[at_];
      if (c == ',') number = 0;
      if (c >= '0' && c <= '9') number = std::min(10 * number + (c - '0'), kMostTimes);
      times = std::max(times, number);
    }
    if ((repeated_ += times * last_) > kMostRepeated) refuse("its repetitions add up to too much.");
  }

  std::string_view text_;
  size_t at_ = 0;
  int nested_ = 0;
  uint64_t last_ = 1, repeated_ = 0;  // elements, at most: of the symbol before, of all copies
};

// The parser skips spaces and comments behind a rule, not before the first.
const char* first_rule(const char* at) {
  while (*at == '#' || std::isspace(static_cast<unsigned char>(*at))) {
    if (*at == '#')
      while (*at && *at != '\n') ++at;
    else
      ++at;
  }
  return at;
}

void parse(llama_grammar_parser& parser, const std::string& text) {
  try {
    for (const char* at = first_rule(text.c_str()); *at;) at = parser.parse_rule(at);
  } catch (const std::exception& error) {
    // The message goes on with all that is left of the grammar.
    std::string why = std::string(error.what()).substr(0, 120);
    std::replace(why.begin(), why.end(), '\n', ' ');
    refuse(why + ".");
  }
}

// Rules that can be empty: those with an alternative of nothing but such rules. Every reference is looked at once.
std::vector<bool> empty_rules(const GrammarRules& rules) {
  struct Alternative {
    uint32_t rule;
    size_t left = 0;  // references of which it isn't known that they can be empty
    bool has_terminal = false;
  };
  const size_t n = rules.starts.size();
  std::vector<Alternative> alternatives;
  std::vector<std::vector<size_t>> users(n);  // by rule: alternatives that refer to it
  for (uint32_t rule = 0; rule < n; ++rule) {
    alternatives.push_back({rule});
    for (uint32_t at = rules.starts[rule]; rules.elements[at].kind != GrammarElement::kEnd; ++at) {
      const GrammarElement element = rules.elements[at];
      if (element.kind == GrammarElement::kAlternative) {
        alternatives.push_back({rule});
      } else if (element.kind == GrammarElement::kRule) {
        ++alternatives.back().left;
        users[element.value].push_back(alternatives.size() - 1);
      } else {
        alternatives.back().has_terminal = true;
      }
    }
  }
  std::vector<bool> empty(n);
  std::vector<uint32_t> found;
  const auto judge = [&](const Alternative& one) {
    if (one.left > 0 || one.has_terminal || empty[one.rule]) return;
    empty[one.rule] = true;
    found.push_back(one.rule);
  };
  for (const Alternative& one : alternatives) judge(one);
  while (!found.empty()) {
    const uint32_t rule = found.back();
    found.pop_back();
    for (size_t user : users[rule]) {
      --alternatives[user].left;
      judge(alternatives[user]);
    }
  }
  return empty;
}

// Whether some rule can begin with itself: reading would never come to a character.
bool recurses_on_the_left(const GrammarRules& rules) {
  const std::vector<bool> empty = empty_rules(rules);
  const size_t n = rules.starts.size();
  std::vector<std::vector<uint32_t>> begins_with(n);
  for (size_t rule = 0; rule < n; ++rule) {
    bool first = true;
    for (uint32_t at = rules.starts[rule]; rules.elements[at].kind != GrammarElement::kEnd; ++at) {
      const GrammarElement element = rules.elements[at];
      if (first && element.kind == GrammarElement::kRule) begins_with[rule].push_back(element.value);
      first = element.kind == GrammarElement::kAlternative ||
              (first && element.kind == GrammarElement::kRule && empty[element.value]);
    }
  }
  // Depth first, with a stack of our own: a grammar may have a hundred thousand rules in a row.
  enum { kNew, kOpen, kDone };
  std::vector<char> state(n, kNew);
  std::vector<std::pair<uint32_t, size_t>> open;
  for (uint32_t rule = 0; rule < n; ++rule) {
    if (state[rule] != kNew) continue;
    open.push_back({rule, 0});
    state[rule] = kOpen;
    while (!open.empty()) {
      const uint32_t top = open.back().first;
      if (open.back().second == begins_with[top].size()) {
        state[top] = kDone;
        open.pop_back();
        continue;
      }
      const uint32_t next = begins_with[top][open.back().second++];
      if (state[next] == kOpen) return true;
      if (state[next] == kDone) continue;
      state[next] = kOpen;
      open.push_back({next, 0});
    }
  }
  return false;
}

}  // namespace

GrammarRules parse_grammar(const llama_vocab* vocab, const std::string& text) {
  Size(text).check();
  llama_grammar_parser parser(vocab);
  parse(parser, text);
  const auto root = parser.symbol_ids.find("root");
  if (root == parser.symbol_ids.end()) refuse("it has no rule named root.");
  GrammarRules rules;
  rules.root = root->second;
  for (const auto& rule : parser.rules) {
    rules.starts.push_back(static_cast<uint32_t>(rules.elements.size()));
    for (const llama_grammar_element& element : rule)
      rules.elements.push_back({static_cast<GrammarElement::Kind>(element.type), element.value});
  }
  for (const auto& [name, id] : parser.symbol_ids)
    if (id >= parser.rules.size() || parser.rules[id].empty())
      refuse("there is no rule named " + name.substr(0, 80) + ".");
  if (recurses_on_the_left(rules)) refuse("a rule begins with itself.");
  return rules;
}

}  // namespace adaptive_spec
