// Tests of AnswerReader: what is told of an answer bit by bit is the answer, in every chat template's own form of a call.
#include "engine/answer_reader.h"

#include <json.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/context.h"
#include "test/harness.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

namespace fs = std::filesystem;
using test::Random;

const llama_model* tiny() {
  static const ModelHandle model = [] {
    const char* folder = std::getenv("ADAPTIVE_SPEC_TINY_MODELS");
    if (!folder) throw std::runtime_error("set ADAPTIVE_SPEC_TINY_MODELS to where test/tiny-models.ts wrote them");
    start_backend();
    return load_model({.path = std::string(folder) + "/target.gguf"});
  }();
  return model.get();
}

// One name begins the other.
const char kTools[] = R"([{"type":"function","function":{"name":"get","description":"Gets.","parameters":{"type":"object",
  "properties":{"place":{"type":"string"},"days":{"type":"integer"},"more":{"type":"object"},"list":{"type":"array",
  "items":{"type":"string"}}},"required":["place"]}}},{"type":"function","function":{"name":"get_weather","description":
  "Tells the weather.","parameters":{"type":"object","properties":{"place":{"type":"string"},"days":{"type":"integer"},
  "more":{"type":"object"},"list":{"type":"array","items":{"type":"string"}}},"required":["place"]}}}])";

const char kArguments[] =
    R"({"place": "Zoë's \"Café\" → 東京 \\ 😀\n<b>&amp;</b>", "days": 12, "more": {"a": [1, {"b": null}], "c": "}"}, "list": ["x", "{", "é"]})";

// As Qwen and Hermes have it.
const char kTemplate[] =
    "{%- if tools %}{{- '<|im_start|>system\\n<tools>' }}{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}"
    "{{- '\\n</tools>\\n<tool_call>\\n{\"name\": <name>, \"arguments\": <object>}\\n</tool_call><|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}{%- if message.role == 'assistant' and message.tool_calls %}{{- '<|im_start|>assistant' }}"
    "{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}{%- for tool_call in message.tool_calls %}"
    "{%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}{{- '\\n<tool_call>\\n{\"name\": \"' }}"
    "{{- tool_call.name }}{{- '\", \"arguments\": ' }}{{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}"
    "{{- '<|im_end|>\\n' }}{%- else %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

std::string asked(int calls) {
  common_json said = common_json::parse(R"([{"role":"user","content":"How is Rome?"}])");
  if (calls == 0) return said.dump();
  common_json list = common_json::array();
  for (int i = 0; i < calls; ++i)
    list.push_back(common_json::parse(R"({"type":"function","id":"abcdefgh)" + std::to_string(i) +
                                      R"(","function":{"name":")" + (i == 1 ? "get" : "get_weather") + R"("}})"));
  for (auto& call : list) call["function"]["arguments"] = kArguments;
  said.push_back(common_json::parse(R"({"role":"assistant","content":"Let me look."})"));
  said.back()["tool_calls"] = list;
  return said.dump();
}

Answer answer_of(const std::string& text, const AnswerSyntax& syntax) {
  AnswerReader reader(syntax);
  std::vector<AnswerDelta> rest;
  reader.add(text);
  return reader.end(true, rest);
}

struct Sample {
  std::string name, text;
  AnswerSyntax syntax;
};

// The text with which the template puts these calls, as far as its own parser reads it: behind it the turn ends in words
// that aren't the model's.
std::string answer_in(const std::string& conversation, size_t from, int calls, const AnswerSyntax& syntax) {
  constexpr size_t kMostBehind = 80;
  const std::string rest = conversation.substr(from);
  for (size_t cut = 0; cut <= std::min(kMostBehind, rest.size()); ++cut) {
    const std::string text = rest.substr(0, rest.size() - cut);
    const Answer answer = answer_of(text, syntax);
    if (static_cast<int>(answer.calls.size()) == calls && answer.calls[0].arguments.size() > 100) return text;
  }
  return "";
}

std::vector<Sample> samples() {
  std::vector<Sample> all;
  const llama_vocab* vocab = llama_model_get_vocab(tiny());
  for (const auto& entry : fs::directory_iterator(ADAPTIVE_SPEC_TEMPLATES)) {
    if (entry.path().extension() != ".jinja") continue;
    std::ifstream file(entry.path());
    std::stringstream source;
    source << file.rdbuf();
    try {
      const ChatTemplate chat(tiny(), source.str());
      const ToolPrompt offer = apply_tools(chat, vocab, asked(0), kTools, false, true);
      if (!offer.knows_calls || offer.grammar.text.empty()) continue;
      for (int calls = 1; calls <= 2; ++calls) {
        const std::string later = apply_tools(chat, vocab, asked(calls), kTools, false, true).prompt;
        const auto same = std::mismatch(offer.prompt.begin(), offer.prompt.end(), later.begin(), later.end()).first;
        const std::string text = answer_in(later, same - offer.prompt.begin(), calls, offer.syntax);
        if (!text.empty())
          all.push_back({entry.path().stem().string() + ", " + std::to_string(calls), text, offer.syntax});
      }
    } catch (const EngineError&) {
      // Some templates refuse the conversation, or two calls.
    }
  }
  return all;
}

// What is told of a text that comes in pieces, put together.
class Told {
 public:
  void take(const std::vector<AnswerDelta>& deltas) {
    for (const AnswerDelta& delta : deltas) {
      ++deltas_;
      if (delta.call < 0) {
        answer.content += delta.text;
        continue;
      }
      if (delta.begins) {
        REQUIRE(delta.call == static_cast<int>(answer.calls.size()));
        answer.calls.push_back({delta.id, delta.name, ""});
      }
      answer.calls.at(delta.call).arguments += delta.text;
    }
  }
  int deltas() const { return deltas_; }
  Answer answer;

 private:
  int deltas_ = 0;
};

std::string shown(const Answer& answer) {
  std::string out = answer.content;
  for (const ToolCall& call : answer.calls) out += "\n[" + call.id + "|" + call.name + "|" + call.arguments + "]";
  return out;
}

// `pieces`: bytes of each, one after the other and again from the first; characters stay whole.
Told told(const Sample& sample, const std::string& text, const std::vector<size_t>& pieces, bool is_whole, Answer& end) {
  AnswerReader reader(sample.syntax);
  Told told;
  for (size_t at = 0, i = 0; at < text.size(); ++i) {
    size_t next = std::min(text.size(), at + pieces[i % pieces.size()]);
    while (next < text.size() && (text[next] & 0xC0) == 0x80) ++next;
    reader.add(std::string_view(text).substr(at, next - at));
    told.take(reader.read());
    at = next;
  }
  std::vector<AnswerDelta> rest;
  end = reader.end(is_whole, rest);
  told.take(rest);
  return told;
}

}  // namespace

TEST("answers: what every template's calls are told as, bit by bit, is the whole answer") {
  std::vector<Sample> all = samples();
  CHECK(all.size() >= 60);
  int in_pieces = 0;
  Random random(1);
  for (const Sample& sample : all) {
    const Answer expected = answer_of(sample.text, sample.syntax);
    for (const std::vector<size_t>& pieces : {std::vector<size_t>{1}, {7, 1, 30, 3}}) {
      Answer end;
      const Told all_told = told(sample, sample.text, pieces, true, end);
      CHECK_EQUAL(sample.name + ": " + shown(all_told.answer), sample.name + ": " + shown(expected));
      CHECK_EQUAL(shown(end), shown(expected));
      in_pieces += all_told.deltas() > 20;
    }
    // A text may be cut anywhere.
    for (int i = 0; i < 12; ++i) {
      size_t length = random.below(static_cast<int>(sample.text.size()));
      while (length > 0 && (sample.text[length] & 0xC0) == 0x80) --length;
      const std::string text = sample.text.substr(0, length);
      Answer at_once, bit_by_bit;
      told(sample, text, {text.size() + 1}, false, at_once);
      const Told all_told = told(sample, text, {1}, false, bit_by_bit);
      CHECK_EQUAL(sample.name + ": " + shown(all_told.answer), sample.name + ": " + shown(at_once));
      CHECK_EQUAL(shown(bit_by_bit), shown(at_once));
    }
  }
  // Few formats have something behind the arguments that must be known before.
  CHECK(in_pieces > static_cast<int>(all.size()));
}

TEST("answers: words are told as they come, and white space that may belong to a call when it doesn't") {
  const ChatTemplate chat(tiny(), kTemplate);
  const ToolPrompt offer = apply_tools(chat, llama_model_get_vocab(tiny()), asked(0), kTools, false, true);
  AnswerReader reader(offer.syntax);
  const auto said = [&](const std::string& text) {
    reader.add(text);
    Told told;
    told.take(reader.read());
    return shown(told.answer);
  };
  CHECK_EQUAL(said("Let me"), "Let me");
  CHECK_EQUAL(said(" look.\n\n"), " look.");
  CHECK_EQUAL(said("Or <tool"), "\n\nOr");
  CHECK_EQUAL(said(" <tool_call>\n{\"name\": \"get"), " <tool");
  // It may be get_weather.
  CHECK_EQUAL(said("\""), " ");
  CHECK_EQUAL(said(", \"arguments\": {\"pla"), "\n[|get|{\"pla]");
}

}  // namespace adaptive_spec
