// Which kernels this process can run, and which a model shall have.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernel_set.h"

namespace adaptive_spec {

// The kernels of that name: 'amx', 'avx512' and 'avx2' are themselves; 'auto' is the best of this CPU, but for AMX,
// which never ran on a CPU that has it. Null for 'ggml', where ggml's own kernels shall run, and for 'auto' on a CPU for
// which there are none. Throws std::invalid_argument where this CPU or the operating system lacks what they need.
const KernelSet* kernel_set(const std::string& name);

// Names that kernel_set() takes on this machine, best first; 'ggml' is always the last.
std::vector<std::string> available_kernels();

}  // namespace adaptive_spec
