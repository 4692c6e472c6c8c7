// The only place that includes napi.h; its defines come from CMakeLists.txt.
#pragma once

#include <napi.h>
