// One copy of a model's weights in a process, for all engines that compute with it in the same way.
#pragma once

#include <functional>
#include <string>

#include "engine/context.h"

namespace adaptive_spec {

// The model that somebody holds under this key, or what `load` gives. Of several callers at once one loads and the others
// wait, as long as `goes_on` says so; null where it doesn't.
ModelHandle share_model(const std::string& key, const std::function<ModelHandle()>& load,
                        const std::function<bool()>& goes_on);

}  // namespace adaptive_spec
