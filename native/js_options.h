// JavaScript objects become plain structs on the JavaScript thread; lib/options.ts has validated them.
#pragma once

#include "engine/engine.h"
#include "napi_setup.h"

namespace adaptive_spec {

EngineOptions engine_options(Napi::Object o);
Request request(Napi::Object o);
TurnOptions turn_options(Napi::Object o);
Napi::Object to_js(Napi::Env env, const LoadedInfo& info);
Napi::Object to_js(Napi::Env env, const RequestResult& result);

}  // namespace adaptive_spec
