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

/// The limits of a call whose time begins at the first look at the clock.
static void begin_limits(clua_control *control, const clua_invocation *call) {
    control->instructionsLeft = call->instructionsMax;
    control->deadlineNanoseconds = 0;
    control->methodNanoseconds = call->methodNanoseconds;
    control->usage = (clua_usage){.grantedNanoseconds = call->methodNanoseconds};
    control->sliceEndNanoseconds = 0;
    control->sliceNanoseconds = call->sliceNanoseconds;
}

/// The object as the method sees it.
static void push_receiver(lua_State *thread, const clua_invocation *call) {
    lua_rawgeti(thread, LUA_REGISTRYINDEX, call->object);
    if (call->view == CLUA_NO_VIEW) return;
    if (call->view == CLUA_TRACKED) clua_push_tracked(thread, -1);
    else clua_push_view(thread, -1);
    lua_remove(thread, -2);
}

int clua_call_method(lua_State *thread, const clua_invocation *call, int *results) {
    clua_control *control = clua_control_of(thread);
    clua_views_begin(control);
    if (!call->hasLimits) begin_limits(control, call);
    lua_checkstack(thread, 20);
    int count = lua_gettop(thread), receivers = call->object != 0;
    lua_rawgeti(thread, LUA_REGISTRYINDEX, call->function);
    if (receivers > 0) push_receiver(thread, call);
    if (count > 0) lua_rotate(thread, 1, 1 + receivers);
    if (call->arguments != NULL) count += push_parts(thread, call->arguments, call->argumentBytes);
    if (call->data != NULL) {
        lua_pushlstring(thread, call->data, call->dataBytes);
        count += 1;
    }
    if (count < call->argumentsMin || count > call->argumentsMax) {
        lua_settop(thread, 0);
        return CLUA_WRONG_ARGUMENTS;
    }
    if (call->view == CLUA_TRACKED) clua_journal_begin(thread, call->object);
    control->writesDirectly = call->writesDirectly;
    int status = clua_resume(thread, NULL, receivers + count, results);
    control->writesDirectly = false;
    return status;
}
