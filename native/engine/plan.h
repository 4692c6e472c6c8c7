// What a controller says before a step, as the engine sees it.
#pragma once

namespace adaptive_spec {

struct Plan {
  int depth = 0;               // tokens asked of the drafter; 0 is plain decoding
  float min_probability = 0;   // the drafter stops before a token that it holds less probable than this
  int drafter = 0;             // index into Engine's list of drafters
};

}  // namespace adaptive_spec
