// Tests of Grammar: the texts that llama.cpp's own grammars allow, drafts that keep to them, and what must be refused.
#include "verify/grammar.h"

#include <json.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "draft/ngram_drafter.h"
#include "engine/answer_reader.h"
#include "engine/context.h"
#include "engine/draft_walk.h"
#include "engine/tool_chat.h"
#include "test/harness.h"
#include "test/random.h"
#include "verify/sampler.h"

namespace adaptive_spec {
namespace {

using test::Random;
using Tokens = std::vector<int32_t>;

constexpr float kMasked = -std::numeric_limits<float>::infinity();

// The tiny target's vocabulary: every byte, some merged texts, pieces of characters, three control tokens.
struct Vocabulary {
  Vocabulary() {
    const char* folder = std::getenv("ADAPTIVE_SPEC_TINY_MODELS");
    if (!folder) throw std::runtime_error("set ADAPTIVE_SPEC_TINY_MODELS to where test/tiny-models.ts wrote them");
    start_backend();
    model = load_model({.path = std::string(folder) + "/target.gguf"});
    vocab = llama_model_get_vocab(model.get());
    shared = std::make_shared<GrammarVocabulary>(vocab);
  }
  Tokens tokens(const std::string& text) const { return shared->tokenize(text); }
  std::unique_ptr<Grammar> grammar(const std::string& text) const {
    return std::make_unique<Grammar>(shared, GrammarSource{.text = text});
  }

  ModelHandle model;
  const llama_vocab* vocab;
  std::shared_ptr<GrammarVocabulary> shared;
};

const Vocabulary& tiny() {
  static const Vocabulary vocabulary;
  return vocabulary;
}

const std::string kPerson = R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},
  "tags":{"type":"array","items":{"enum":["red","green"]}},"at":{"anyOf":[{"type":"null"},{"type":"number"}]}},
  "required":["name","age","tags"]})";

std::vector<std::string> grammars() {
  return {
      schema_to_grammar(kPerson),
      schema_to_grammar(R"({"type":"object"})"),
      R"(root ::= "the " ("world" | "wor" "k"+) [.!]? "\n"{1,3})",
      "root ::= item (\", \" item){2,5}\nitem ::= [a-f0-9]{2} | [^a-z\"\\\\\\n]+ \";\"",
      R"(root ::= "→" [à-ü]* ("é" | "—") [^é] .  # arrows)",
      "root ::= \"(\" root \")\" | expression\nexpression ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" expression \")\"",
      "root ::= a b c\na ::= \"a\"?\nb ::= \"b\"*\nc ::= \"\" | \"c\" root",
      "root ::= \"def\" <[1]> [a-z]+ (!<[40]> | <[40]> \".\")",
      "root ::= [🙂-🙅]+ | [^🙂]\n",
      "root ::= x* \".\"\nx ::= y\ny ::= \"a\"? z\nz ::= \"b\" | \"\"",
  };
}

// llama.cpp's own.
class Reference {
 public:
  explicit Reference(const std::string& text)
      : sampler_(llama_sampler_init_grammar(tiny().vocab, text.c_str(), "root")) {
    REQUIRE(sampler_ != nullptr);
  }
  void apply(llama_token_data_array& row) { llama_sampler_apply(sampler_.get(), &row); }
  void accept(int32_t token) { llama_sampler_accept(sampler_.get(), token); }
  std::vector<float> legal() {
    std::vector<llama_token_data> row;
    for (int32_t id = 0; id < tiny().shared->size(); ++id) row.push_back({id, 1, 0});
    llama_token_data_array all{row.data(), row.size(), -1, false};
    apply(all);
    std::vector<float> out(row.size());
    for (const llama_token_data& one : row) out[one.id] = one.logit;
    return out;
  }

 private:
  SamplerChain sampler_;
};

std::string refusal(const std::string& text) {
  try {
    tiny().grammar(text);
    return "";
  } catch (const EngineError& error) {
    return error.code + ": " + error.what();
  }
}

Answer answer_of(const std::string& text, const AnswerSyntax& syntax) {
  AnswerReader reader(syntax);
  std::vector<AnswerDelta> rest;
  reader.add(text);
  return reader.end(true, rest);
}

std::string repeated(const std::string& what, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += what;
  return out;
}

}  // namespace

TEST("grammar: allows the tokens that llama.cpp's allows, one by one and in rows") {
  int seed = 0, compared = 0;
  for (const std::string& text : grammars())
    for (int run = 0; run < 6; ++run) {
      Random random(++seed);
      Reference reference(text);
      const auto grammar = tiny().grammar(text);
      for (int length = 0; length < 60; ++length) {
        const std::vector<float> expected = reference.legal();
        std::vector<float> masked(expected.size(), 1);
        grammar->mask(masked.data());
        CHECK_EQUAL(masked, expected);
        Tokens legal;
        for (int32_t id = 0; id < static_cast<int32_t>(expected.size()); ++id) {
          CHECK_EQUAL(grammar->allows(id), expected[id] > 0);
          if (expected[id] > 0) legal.push_back(id);
        }
        compared += static_cast<int>(legal.size());
        REQUIRE(!legal.empty());
        const int32_t token = legal[random.below(static_cast<int>(legal.size()))];
        if (tiny().shared->token(token).is_eog) break;
        reference.accept(token);
        grammar->accept(token);
      }
    }
  CHECK(compared > 5000);
}

TEST("grammar: a walk through a copy leaves the place, and stops at the first illegal token") {
  const auto grammar = tiny().grammar(R"(root ::= "the world" [0-9]+)");
  DraftWalk walk(*grammar);
  walk.rewind();
  for (const int32_t token : tiny().tokens("the world1")) CHECK(walk.take(token));
  const int32_t x = tiny().tokens("x")[0];
  CHECK(!walk.allows(x));
  CHECK(!walk.take(x));
  CHECK(walk.take(tiny().tokens("7")[0]));
  CHECK(!grammar->allows(tiny().tokens("1")[0]));
  walk.rewind();
  CHECK(!walk.allows(tiny().tokens("1")[0]));
  CHECK(walk.take(tiny().tokens("the world")[0]));
}

TEST("grammar: what it forces is written in the tokenizer's tokens, without one that may be longer") {
  const auto grammar = tiny().grammar(R"(root ::= "def return hello" ("a" | "b") "END")");
  Grammar::Place place = grammar->place();
  Tokens whole = tiny().tokens("def return hello");
  whole.pop_back();
  CHECK_EQUAL(grammar->forced(place), whole);
  for (const int32_t token : tiny().tokens("def return hello")) CHECK(grammar->walk(place, token));
  CHECK(grammar->forced(place).empty());
  CHECK(grammar->walk(place, tiny().tokens("b")[0]));
  Tokens end = tiny().tokens("END");
  end.push_back(tiny().shared->end());
  CHECK_EQUAL(grammar->forced(place), end);  // and nothing can follow
}

TEST("grammar: a draft takes what is forced for nothing, and ends where its drafter breaks the grammar") {
  const auto grammar = tiny().grammar(R"(root ::= "hello " ("x" | "y") " return " [a-z]+)");
  const Tokens never;
  NgramDrafter drafter(1, never);
  DraftWalk walk(*grammar);
  // The text before goes on otherwise than the grammar wants, after the x.
  Tokens text = tiny().tokens("hello x=1 hello x=1 hello x=1 ");
  Draft draft;
  draft.accepted = text;
  draft.depth = 12;
  draft.guide = &walk;
  draft.clear();
  Draft* drafts[] = {&draft};
  drafter.extend(drafts);
  REQUIRE(!draft.tokens.empty());
  CHECK(draft.signals[0].origin == Origin::kGrammar);
  walk.rewind();
  for (const int32_t token : draft.tokens) CHECK(walk.take(token));
  std::string written;
  for (const int32_t token : draft.tokens) append_piece(tiny().vocab, token, written);
  CHECK(std::string("hello x return ").starts_with(written));
  // A proposal that the drafter hands over all the same.
  draft.clear();
  draft.offer(tiny().tokens("z")[0], Signals{.probability = 1});
  CHECK(draft.tokens.empty());
  CHECK(draft.stopped);
}

TEST("grammar: waits for its word, however that is cut into tokens, and holds from there on") {
  const GrammarSource source{.text = R"g(root ::= "call(" [0-9]+ ")")g", .words = {"call("}};
  Grammar grammar(tiny().shared, source);
  const auto one = [](const std::string& text) { return tiny().tokens(text)[0]; };
  for (const char c : std::string("well, I cal")) {
    const int32_t token = one(std::string(1, c));
    CHECK(grammar.allows(token));
    grammar.accept(token);
  }
  CHECK(grammar.allows(tiny().shared->end()));
  grammar.accept(one("l"));
  CHECK(grammar.allows(one("x")));
  grammar.accept(one("("));
  CHECK(!grammar.allows(one("x")));
  CHECK(!grammar.allows(tiny().shared->end()));
  grammar.accept(one("4"));
  grammar.accept(one(")"));
  CHECK(grammar.allows(tiny().shared->end()));
  CHECK(!grammar.allows(one("4")));
  // A token that would complete the word and break the grammar at once may not come.
  Grammar cut(tiny().shared, GrammarSource{.text = R"(root ::= " retu" "X")", .words = {" retu"}});
  CHECK(!cut.allows(tiny().tokens(" return")[0]));
  std::vector<float> row(tiny().shared->size(), 1);
  cut.mask(row.data());
  CHECK_EQUAL(row[tiny().tokens(" return")[0]], kMasked);
  CHECK_EQUAL(row[one("a")], 1.0f);
}

TEST("grammar: a pattern begins it at its first group") {
  Grammar grammar(tiny().shared, GrammarSource{.text = R"(root ::= "f" [0-9] "g")", .patterns = {R"(>>\s*(f))"}});
  for (const char c : std::string(">> f")) grammar.accept(tiny().tokens(std::string(1, c))[0]);
  CHECK(grammar.allows(tiny().tokens("3")[0]));
  CHECK(!grammar.allows(tiny().tokens("g")[0]));
}

TEST("grammar: goes on where the prompt has begun it") {
  Grammar grammar(tiny().shared, GrammarSource{.text = R"(root ::= "answer: " [0-9]+)", .prefill = "answer: "});
  CHECK(grammar.allows(tiny().tokens("7")[0]));
  CHECK(!grammar.allows(tiny().tokens("a")[0]));
  bool refused = false;
  try {
    Grammar(tiny().shared, GrammarSource{.text = R"(root ::= "answer: ")", .prefill = "question"});
  } catch (const EngineError& error) {
    refused = error.code == "GRAMMAR_INVALID";
  }
  CHECK(refused);
}

TEST("grammar: refuses what doesn't parse, never ends, or is beyond all use in size") {
  const std::string huge_class = "[" + repeated("ab", 40'000) + "]";
  std::string chain = "root ::= r0\n";
  for (int i = 0; i < 30'000; ++i) chain += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + "\n";
  std::string doubling = "root ::= a0 \"x\"\n";
  for (int i = 0; i < 60; ++i) {
    const std::string next = "a" + std::to_string(i + 1);
    doubling += "a" + std::to_string(i) + " ::= " + next + " \"b\" | " + next + " \"c\"\n";
  }
  const std::vector<std::string> bad = {
      "root",
      "root ::= \"a",
      "root ::= (",
      "root ::= other",
      "start ::= \"a\"",
      "root ::= root \"a\" | \"b\"",
      "root ::= a\na ::= b \"x\"\nb ::= c a\nc ::= d*\nd ::= \"y\"",
      "root ::= [a-",
      "root ::= a\na ::= b | b\nb ::= a",
      "root ::= \"x\" a\na ::= a \"\" b\nb ::= \"y\"?",
      "root ::= \"a\"{5000}",
      "root ::= \"a\"{99999999999999999999}",
      "root ::= <nope>",
      "root ::= <[99999999999999999999]>",
      "\xff\xfe\x80",
      std::string("root ::= \"a\0b\"", 14),
      "root ::= \"\\q\"",
      "root ::= " + repeated("(", 100'000),
      "root ::= " + huge_class + "{2000}",
      "root ::= ((\"a\"{0,2000}){0,2000}){0,2000}",
      repeated("#", 2'000'000),
      doubling + "a60 ::= \"d\"\n",
      chain,
  };
  for (const std::string& text : bad) {
    const std::string said = refusal(text);
    CHECK(said.starts_with("GRAMMAR_INVALID: "));
    CHECK(said.size() < 300);
  }
  CHECK_EQUAL(refusal("root ::= "), "");  // the empty text's grammar
  CHECK_EQUAL(refusal(chain + "r30000 ::= \"x\"\n"), "");
}

TEST("grammar: random bytes and mangled grammars give an error or a grammar") {
  Random random(5);
  const std::vector<std::string> good = grammars();
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text = i % 3 == 0 ? std::string() : good[random.below(static_cast<int>(good.size()))];
    if (text.empty())
      for (int n = random.below(60); n > 0; --n) text.push_back(static_cast<char>(random.below(256)));
    for (int n = random.below(6); n > 0 && !text.empty(); --n) {
      const size_t at = random.below(static_cast<int>(text.size()));
      if (random.uniform() < 0.5)
        text[at] = "(){}[]\"|*+?<>!.:=\\ \n^-,0a"[random.below(26)];
      else
        text.erase(at, random.below(9));
    }
    refused += !refusal(text).empty();
  }
  CHECK(refused > 500);
  CHECK(refused < 3000);
}

TEST("grammar: with no end of readings allows nothing more, instead of taking all memory") {
  // After n times a, every word of x and y of that length is another stack.
  const auto grammar = tiny().grammar("root ::= \"a\" root x | \"a\" root y | \"b\"\nx ::= \"x\"\ny ::= \"x\"");
  const int32_t a = tiny().tokens("a")[0];
  int read = 0;
  for (; read < 100 && !grammar->is_too_ambiguous(); ++read) grammar->accept(a);
  CHECK(read > 8);
  CHECK(read < 20);
  CHECK(!grammar->allows(a));
  std::vector<float> row(tiny().shared->size(), 1);
  grammar->mask(row.data());
  CHECK_EQUAL(*std::max_element(row.begin(), row.end()), kMasked);
}

TEST("grammar: schemas that no value fits, or that are none, are refused with a code") {
  for (const char* schema :
       {"", "{", "[]", "3", R"({"type":"nope"})", R"({"$ref":"#/nowhere"})", R"({"$ref":"http://x/y"})",
        R"({"type":"string","minLength":-1})", R"({"anyOf":[]})", R"({"properties":3})",
        R"({"type":"string","pattern":"^(a$"})"}) {
    std::string code;
    try {
      schema_to_grammar(schema);
    } catch (const EngineError& error) {
      code = error.code;
    }
    CHECK_EQUAL(code, "SCHEMA_INVALID");
  }
}

// As Qwen and Hermes have it.
const char kToolTemplate[] =
    "{%- if tools %}{{- '<|im_start|>system\\n# Tools\\n<tools>' }}{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}"
    "{%- endfor %}{{- '\\n</tools>\\nReturn a call as <tool_call>\\n{\"name\": <name>, \"arguments\": <object>}\\n</tool_call>"
    "<|im_end|>\\n' }}{%- endif %}{%- for message in messages %}{%- if message.role == 'assistant' and message.tool_calls %}"
    "{{- '<|im_start|>assistant' }}{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}"
    "{%- for tool_call in message.tool_calls %}{%- if tool_call.function %}{%- set tool_call = tool_call.function %}"
    "{%- endif %}{{- '\\n<tool_call>\\n{\"name\": \"' }}{{- tool_call.name }}{{- '\", \"arguments\": ' }}"
    "{{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\\n' }}"
    "{%- elif message.role == 'tool' %}{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + "
    "'\\n</tool_response><|im_end|>\\n' }}{%- else %}{{- '<|im_start|>' + message.role + '\\n' + message.content + "
    "'<|im_end|>\\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

TEST("tools: a template's own call is held to its schema once it has begun, and read back") {
  const ChatTemplate chat(tiny().model.get(), kToolTemplate);
  const std::string tools = R"([{"type":"function","function":{"name":"weather","parameters":{"type":"object",
    "properties":{"place":{"enum":["Rome","Oslo"]},"days":{"type":"integer"}},"required":["place","days"]}}}])";
  const std::string asked = R"([{"role":"user","content":"How is Rome?"}])";
  const ToolPrompt offer = apply_tools(chat, tiny().vocab, asked, tools, false, false);
  CHECK(offer.knows_calls);
  CHECK(offer.prompt.find("\"weather\"") != std::string::npos);
  REQUIRE(!offer.grammar.text.empty());
  CHECK(!offer.grammar.words.empty());
  const std::string text =
      "Let me look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"Oslo\", \"days\": 3}}\n</tool_call>";
  Grammar grammar(tiny().shared, offer.grammar);
  const auto take = [&](const std::string& part) {
    for (const int32_t token : tiny().tokens(part)) {
      REQUIRE(grammar.allows(token));
      grammar.accept(token);
    }
  };
  const size_t place = text.find("Oslo");
  take(text.substr(0, place));
  CHECK(!grammar.allows(tiny().tokens("P")[0]));
  CHECK(!grammar.allows(tiny().shared->end()));
  take(text.substr(place));
  CHECK(grammar.allows(tiny().shared->end()));
  const Answer answer = answer_of(text, offer.syntax);
  CHECK(answer.content.starts_with("Let me look."));
  CHECK(answer.content.find("tool_call") == std::string::npos);
  REQUIRE(answer.calls.size() == 1);
  CHECK_EQUAL(answer.calls[0].name, "weather");
  const common_json arguments = common_json::parse(answer.calls[0].arguments);
  CHECK_EQUAL(arguments.at("place").get<std::string>(), "Oslo");
  CHECK_EQUAL(arguments.at("days").get<int>(), 3);
  // With the call and its result in the conversation.
  const std::string later = R"([{"role":"user","content":"How is Oslo?"},{"role":"assistant","content":"","tool_calls":[
    {"type":"function","id":"1","function":{"name":"weather","arguments":"{\"place\":\"Oslo\",\"days\":3}"}}]},
    {"role":"tool","content":"snow","tool_call_id":"1"}])";
  const ToolPrompt next = apply_tools(chat, tiny().vocab, later, "[]", false, false);
  CHECK(next.prompt.find("<tool_response>\nsnow") != std::string::npos);
  CHECK(next.grammar.text.empty());
}

TEST("tools: a list of calls where several are wanted") {
  const ChatTemplate chat(tiny().model.get(), kToolTemplate);
  const std::string tools = R"([{"type":"function","function":{"name":"time","parameters":{"type":"object",
    "properties":{"zone":{"type":"integer"}},"required":["zone"]}}}])";
  const std::string asked = R"([{"role":"user","content":"How late is it?"}])";
  const std::string call = "{\"name\": \"time\", \"arguments\": {\"zone\": 3}}";
  for (const bool parallel : {false, true}) {
    const ToolPrompt offer = apply_tools(chat, tiny().vocab, asked, tools, true, parallel);
    Grammar grammar(tiny().shared, offer.grammar);
    const auto take = [&](const std::string& part) {
      for (const int32_t token : tiny().tokens(part)) {
        if (!grammar.allows(token)) return false;
        grammar.accept(token);
      }
      return true;
    };
    REQUIRE(take("<tool_call>\n" + call));
    CHECK_EQUAL(take(",\n" + call + "\n</tool_call>"), parallel);
    if (!parallel) continue;
    CHECK(grammar.allows(tiny().shared->end()));
    CHECK_EQUAL(answer_of("<tool_call>\n" + call + ",\n" + call + "\n</tool_call>", offer.syntax).calls.size(), 2u);
  }
}

TEST("tools: messages and tools that make no sense are refused") {
  const ChatTemplate chat(tiny().model.get(), kToolTemplate);
  for (const char* bad : {"", "{}", "[{}]", "[{\"role\":\"user\"}]", "[3]"}) {
    std::string code;
    try {
      apply_tools(chat, tiny().vocab, bad, "[]", false, false);
    } catch (const EngineError& error) {
      code = error.code;
    }
    CHECK_EQUAL(code, "INVALID_ARGUMENT");
  }
}

TEST("sampler: with a grammar picks the token that llama.cpp's samplers pick") {
  const SamplingParams settings[] = {
      {},
      {.repeat_penalty = 1.3f, .frequency_penalty = 0.2f},
      {.temperature = 0.8f, .seed = 7},
      {.temperature = 1.5f, .top_k = 5, .seed = 8},
      {.temperature = 1, .top_k = 40, .top_p = 0.9f, .min_p = 0.05f, .seed = 9},
  };
  int seed = 0, masked = 0;
  for (const std::string& text : grammars())
    for (const SamplingParams& params : settings)
      for (int run = 0; run < 4; ++run) {
        Random random(++seed);
        const int n = tiny().shared->size();
        const auto grammar = tiny().grammar(text);
        Sampler sampler(params, {}, {}, n, grammar.get());
        Reference reference(text);
        const SamplerChain chain = llama_chain(params, n);
        for (int length = 0; length < 40; ++length) {
          // Half of the rows want what the grammar wants, as a model that was told of it would.
          std::vector<float> logits = random.row(n, 2);
          const std::vector<float> legal = reference.legal();
          if (random.uniform() < 0.5)
            for (int id = 0; id < n; ++id) logits[id] += legal[id] > 0 ? 3 : 0;
          std::vector<llama_token_data> row(n);
          llama_token_data_array all;
          const auto pick = [&](bool by_grammar) {
            for (int32_t id = 0; id < n; ++id) row[id] = {id, logits[id], 0};
            all = {row.data(), row.size(), -1, false};
            if (by_grammar) reference.apply(all);
            llama_sampler_apply(chain.get(), &all);
            return all.data[all.selected].id;
          };
          int32_t expected = pick(false);
          if (legal[expected] < 0) {
            expected = pick(true);
            ++masked;
          }
          llama_sampler_accept(chain.get(), expected);
          const int32_t token = sampler.sample(logits.data());
          CHECK_EQUAL(token, expected);
          if (token != expected || tiny().shared->token(token).is_eog) break;
          reference.accept(token);
        }
      }
  CHECK(masked > 500);
}

TEST("sampler: says where the grammar leaves no token, and takes a bad row for what it is") {
  const int n = tiny().shared->size();
  const auto grammar = tiny().grammar("root ::= \"a\"");
  Sampler sampler({}, {}, {tiny().tokens("a")[0]}, n, grammar.get());
  std::vector<float> logits(n, 0);
  logits[5] = std::nanf("");
  CHECK_EQUAL(sampler.sample(logits.data()), -1);
  CHECK(!sampler.is_stuck());
  logits.assign(n, 0);
  CHECK_EQUAL(sampler.sample(logits.data()), -1);
  CHECK(sampler.is_stuck());
}

}  // namespace adaptive_spec
