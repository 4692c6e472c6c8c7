// More than one drawn token for a place of a draft.
#pragma once

#include "draft/drafter.h"

namespace adaptive_spec {

// Draws further tokens for the first `chain` places, where one was drawn, without replacement; up to `most` in all. They
// become the draft's guesses, for accept_or_replace to try in this order. With a price of time only those that are worth
// a row, of a batch that has `rows` besides. How many a place gets is decided by the rows of the draft up to its own and
// by what was known before the step: not by what was drawn for it, nor by rows behind it, which hang on that
// (docs/trees.md).
void draw_siblings(Draft& draft, int chain, int most, int rows);

}  // namespace adaptive_spec
