// What a controller says before a step, as the engine sees it.
#pragma once

#include <limits>

#include "draft/stop_rule.h"

namespace adaptive_spec {

struct Plan {
  int depth = 0;               // tokens asked of the drafter; 0 is plain decoding
  int drafter = 0;             // index into Engine's list of drafters
  int steps = 1;               // that it holds for, without a question
  int verify = std::numeric_limits<int>::max();  // draft tokens verified at most
  bool trim = false;           // verify only what is worth its time, by the stop rule
  int tree_nodes = -1;         // draft tokens verified at most with those beside the chain; -1: as the request's plan
  int branches = std::numeric_limits<int>::max();  // paths that leave the chain at most
  StopRule stop;
};

}  // namespace adaptive_spec
