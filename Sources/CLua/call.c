// A method's call from the bytes of a virtual key: its function, its object and its arguments pushed in one go.
#include "CLua.h"

#include <string.h>

/// The parts between colons, each as a string; returns how many.
static int push_parts(lua_State *thread, const char *at, size_t bytes) {
    const char *end = at + bytes;
    for (int count = 1;; count += 1) {
        if (count % 8 == 0) lua_checkstack(thread, 16);
        const char *colon = memchr(at, ':', (size_t)(end - at));
        lua_pushlstring(thread, at, (size_t)((colon == NULL ? end : colon) - at));
        if (colon == NULL) return count;
        at = colon + 1;
    }
}

int clua_call_method(lua_State *thread, const clua_invocation *call, int *results) {
    clua_control *control = clua_control_of(thread);
    clua_views_begin(control);
    control->instructionsLeft = call->instructionsMax;
    control->deadlineNanoseconds = 0;
    control->methodNanoseconds = call->methodNanoseconds;
    control->usage = (clua_usage){.grantedNanoseconds = call->methodNanoseconds};
    control->sliceEndNanoseconds = 0;
    control->sliceNanoseconds = call->sliceNanoseconds;
    lua_checkstack(thread, 20);
    lua_rawgeti(thread, LUA_REGISTRYINDEX, call->function);
    lua_rawgeti(thread, LUA_REGISTRYINDEX, call->object);
    if (call->view != CLUA_NO_VIEW) {
        if (call->view == CLUA_TRACKED) clua_push_tracked(thread, -1);
        else clua_push_view(thread, -1);
        lua_remove(thread, -2);
    }
    int count = 1;
    if (call->arguments != NULL) count += push_parts(thread, call->arguments, call->argumentBytes);
    if (call->data != NULL) {
        lua_pushlstring(thread, call->data, call->dataBytes);
        count += 1;
    }
    if (count <= call->argumentsMin || count - 1 > call->argumentsMax) {
        lua_settop(thread, 0);
        return CLUA_WRONG_ARGUMENTS;
    }
    control->writesDirectly = call->writesDirectly;
    int status = clua_resume(thread, NULL, count, results);
    control->writesDirectly = false;
    return status;
}
