// What a draft must keep to, and where it leaves no choice: a grammar, as drafters see it.
#pragma once

#include <cstdint>
#include <optional>

namespace adaptive_spec {

class DraftGuide {
 public:
  virtual ~DraftGuide() = default;
  // Back to the end of the accepted text.
  virtual void rewind() = 0;
  // Whether the token may stand here.
  virtual bool allows(int32_t token) = 0;
  // Goes on by a token. False: it may not stand here, and nothing has changed.
  virtual bool take(int32_t token) = 0;
  // The token that comes next where only one text can.
  virtual std::optional<int32_t> forced() = 0;
};

}  // namespace adaptive_spec
