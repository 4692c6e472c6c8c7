// Tests of TextStream: stop strings in pieces, characters in pieces, bytes that are no text, nothing lost.
#include "engine/text_stream.h"

#include <algorithm>

#include "test/harness.h"
#include "test/random.h"

namespace adaptive_spec {
namespace {

using test::Random;
using Strings = std::vector<std::string>;

struct Heard {
  Strings chunks;  // what was taken after each piece
  std::string text;
  std::string stopped_by;
  bool stopped = false;
};

Heard hear(const Strings& stops, const Strings& pieces) {
  TextStream stream(stops);
  Heard heard;
  for (const std::string& piece : pieces) {
    heard.stopped = stream.add(piece);
    heard.chunks.push_back(stream.take());
    heard.text += heard.chunks.back();
    if (heard.stopped) break;
  }
  heard.text += stream.take_rest();
  heard.stopped_by = stream.stopped_by();
  return heard;
}

Strings bytes_of(const std::string& text) {
  Strings bytes;
  for (char byte : text) bytes.emplace_back(1, byte);
  return bytes;
}

// Strict: no overlong forms, surrogates or ids above U+10FFFF.
bool is_utf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
    const unsigned lead = byte(i);
    const int more = lead < 0x80                   ? 0
                     : lead >= 0xC2 && lead < 0xE0 ? 1
                     : (lead & 0xF0) == 0xE0       ? 2
                     : lead >= 0xF0 && lead < 0xF5 ? 3
                                                   : -1;
    if (more < 0) return false;
    for (int k = 1; k <= more; ++k)
      if ((byte(i + k) & 0xC0) != 0x80) return false;
    if ((lead == 0xE0 && byte(i + 1) < 0xA0) || (lead == 0xED && byte(i + 1) >= 0xA0) ||
        (lead == 0xF0 && byte(i + 1) < 0x90) || (lead == 0xF4 && byte(i + 1) >= 0x90))
      return false;
    i += more + 1;
  }
  return true;
}

TEST("text: without stop strings whole characters pass at once") {
  const Heard heard = hear({}, {"hello", " wor", "ld", "é", "→", "😀"});
  CHECK_EQUAL(heard.chunks, (Strings{"hello", " wor", "ld", "é", "→", "😀"}));
  CHECK(!heard.stopped);
}

TEST("text: a stop string ends the text before it, in however many pieces it comes") {
  const std::string text = "the cat END. sat";
  for (size_t first = 0; first <= text.size(); ++first)
    for (size_t second = first; second <= text.size(); ++second) {
      const Heard heard =
          hear({"END."}, {text.substr(0, first), text.substr(first, second - first), text.substr(second)});
      CHECK_EQUAL(heard.text, "the cat ");
      CHECK_EQUAL(heard.stopped_by, "END.");
      CHECK(heard.stopped);
    }
}

TEST("text: what begins like a stop string is held, and released once it isn't one") {
  const Heard heard = hear({"END."}, {"a E", "N", "D", ", b"});
  CHECK_EQUAL(heard.chunks, (Strings{"a ", "", "", "END, b"}));
}

TEST("text: a beginning of a stop string inside of a failed one is still found") {
  CHECK_EQUAL(hear({"aab"}, bytes_of("aaab!")).text, "a");
  CHECK_EQUAL(hear({"ababc"}, bytes_of("abababc!")).text, "ab");
  CHECK_EQUAL(hear({"\n\n"}, {"x\n", "y\n", "\nz"}).text, "x\ny");
}

TEST("text: a begun stop string that never ends is part of the text at the end") {
  const Heard heard = hear({"END."}, {"so E", "ND"});
  CHECK_EQUAL(heard.chunks, (Strings{"so ", ""}));
  CHECK_EQUAL(heard.text, "so END");
  CHECK(!heard.stopped);
}

TEST("text: of overlapping stop strings the one that begins first ends the text") {
  CHECK_EQUAL(hear({"bc", "abc"}, {"xabcy"}).stopped_by, "abc");
  CHECK_EQUAL(hear({"abc", "bc"}, {"xabcy"}).text, "x");
  // Byte by byte the shorter one inside is complete before the longer one around it.
  CHECK_EQUAL(hear({"abcd", "bc"}, bytes_of("xabcdy")).text, "xa");
  CHECK_EQUAL(hear({"abcd", "bc"}, bytes_of("xabcdy")).stopped_by, "bc");
  // The shorter one at the same place is complete first.
  CHECK_EQUAL(hear({"abc", "ab"}, bytes_of("xabcy")).stopped_by, "ab");
}

TEST("text: stop strings that share a beginning are told apart") {
  CHECK_EQUAL(hear({"</a>", "</b>"}, {"x<", "/", "b", ">y"}).stopped_by, "</b>");
  CHECK_EQUAL(hear({"</a>", "</b>"}, {"x<", "/", "c", ">y"}).text, "x</c>y");
}

TEST("text: the same stop string twice in one piece ends the text at the first") {
  CHECK_EQUAL(hear({"."}, {"a.b.c"}).text, "a");
}

TEST("text: a stop string at the very beginning leaves nothing") {
  CHECK_EQUAL(hear({"END"}, {"END"}).text, "");
  CHECK_EQUAL(hear({"END"}, bytes_of("END")).text, "");
}

TEST("text: a character in pieces is held until it is whole, at every cut") {
  for (const std::string character : {"é", "→", "😀"}) {
    const std::string text = "a" + character + character + "b";
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      const Heard heard = hear({}, {text.substr(0, cut), text.substr(cut)});
      CHECK_EQUAL(heard.text, text);
      for (const std::string& chunk : heard.chunks) CHECK(is_utf8(chunk));
    }
    const Heard heard = hear({}, bytes_of(text));
    CHECK_EQUAL(heard.text, text);
    for (const std::string& chunk : heard.chunks) CHECK(is_utf8(chunk));
  }
}

TEST("text: bytes that are no text are neither lost nor held for ever") {
  for (const std::string bad : {"\xFF", "\x80", "\xC3", "\xE2\x80", "\xF0\x9F\x98", "\xC0\xC0",
                                "\x80\x80\x80\x80", "\xF8\x88\x80\x80\x80", "\xED\xA0\x80", "\xE2\xC3\xA9"}) {
    CHECK_EQUAL(hear({}, {bad}).text, bad);
    CHECK_EQUAL(hear({}, bytes_of("a" + bad)).text, "a" + bad);
    // A letter after them shows that no character is to come.
    CHECK_EQUAL(hear({}, {bad, "z"}).chunks[0] + hear({}, {bad, "z"}).chunks[1], bad + "z");
    CHECK_EQUAL(hear({"END"}, {bad, "END"}).text, bad);
  }
}

TEST("text: a stop string right after, before and within characters of several bytes") {
  for (const auto& pieces : {Strings{"x😀END y"}, bytes_of("x😀END y")})
    CHECK_EQUAL(hear({"END"}, pieces).text, "x😀");
  CHECK_EQUAL(hear({"😀"}, bytes_of("a😁b😀c")).text, "a😁b");  // they differ in the last byte
  CHECK_EQUAL(hear({"é→"}, bytes_of("éé→é")).text, "é");
  // The stop string's first byte is held for two reasons, and given out as one character.
  const Heard heard = hear({"é!"}, bytes_of("é?"));
  CHECK_EQUAL(heard.chunks, (Strings{"", "", "é?"}));
}

TEST("text: bytes of an unfinished character before a stop string are given out, and it is still found") {
  const Heard heard = hear({"END"}, {"a\xE2\x80", "EN", "D"});
  CHECK_EQUAL(heard.text, "a\xE2\x80");
  CHECK(heard.stopped);
}

TEST("text: empty pieces change nothing") {
  CHECK_EQUAL(hear({"END"}, {"", "a", "", "EN", "", "D", ""}).text, "a");
  CHECK_EQUAL(hear({}, {"", ""}).text, "");
}

TEST("text: take_rest gives what is held, once") {
  TextStream stream({"END"});
  stream.add("a EN");
  CHECK_EQUAL(stream.take(), "a ");
  CHECK_EQUAL(stream.take_rest(), "EN");
  CHECK_EQUAL(stream.take_rest(), "");
  CHECK_EQUAL(stream.take(), "");
}

// What the text is by definition: after each piece, all up to the first stop string in the whole text so far.
Heard expected(const Strings& stops, const Strings& pieces) {
  Heard heard;
  for (const std::string& piece : pieces) {
    heard.text += piece;
    size_t first = std::string::npos;
    for (const std::string& stop : stops)
      if (const size_t at = heard.text.find(stop); at < first) {
        first = at;
        heard.stopped_by = stop;
      }
    if (first == std::string::npos) continue;
    heard.text.resize(first);
    heard.stopped = true;
    break;
  }
  return heard;
}

TEST("text: random texts, stop strings, cuts and times of taking give the text that the definition gives") {
  const Strings letters = {"a", "b", "a", "b", "é", "è", "→", "😀", "😁", "\n"};
  Random random(11);
  int stopped = 0;
  const auto text_of = [&](int length) {
    std::string text;
    for (int i = 0; i < length; ++i) text += letters[random.below(static_cast<int>(letters.size()))];
    return text;
  };
  for (int round = 0; round < 20'000; ++round) {
    const std::string text = text_of(1 + random.below(20));
    Strings stops, pieces;
    for (int i = random.below(4); i > 0; --i) stops.push_back(text_of(1 + random.below(4)));
    for (size_t at = 0; at < text.size();) {
      const size_t length = 1 + random.below(5);
      pieces.push_back(text.substr(at, length));
      at += length;
    }
    const Heard wanted = expected(stops, pieces);
    TextStream stream(stops);
    Heard heard;
    for (const std::string& piece : pieces) {
      heard.stopped = stream.add(piece);
      if (heard.stopped) break;
      if (random.uniform() < 0.3) continue;  // a step of several tokens takes once
      heard.chunks.push_back(stream.take());
      heard.text += heard.chunks.back();
    }
    heard.chunks.push_back(stream.take());
    heard.chunks.push_back(stream.take_rest());
    heard.text += heard.chunks[heard.chunks.size() - 2] + heard.chunks.back();
    CHECK_EQUAL(heard.text, wanted.text);
    CHECK_EQUAL(heard.stopped, wanted.stopped);
    CHECK_EQUAL(stream.stopped_by(), wanted.stopped_by);
    for (const std::string& chunk : heard.chunks) CHECK(is_utf8(chunk));
    stopped += wanted.stopped;
  }
  CHECK(stopped > 2000);  // else this would test little
}

TEST("text: random bytes are all given out") {
  Random random(12);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (int i = random.below(12); i >= 0; --i) {
      constexpr unsigned char kBytes[] = {'a', 0x80, 0xBF, 0xC3, 0xE2, 0xF0, 0xF8, 0xFF};
      text += static_cast<char>(kBytes[random.below(8)]);
    }
    const Heard heard = hear({}, bytes_of(text));
    CHECK_EQUAL(heard.text, text);
    // At most two beginnings of characters wait, of three bytes each.
    size_t given = 0;
    for (size_t i = 0; i < heard.chunks.size(); ++i) {
      given += heard.chunks[i].size();
      CHECK(given + 6 >= i + 1);
    }
  }
}

}  // namespace
}  // namespace adaptive_spec
