// Coroutines for scripts. They share the accounts and the hook of the thread that makes them; making and resuming one
// is charged, as each counts its first instructions anew. The host's own thread is shown to nobody.
#include "CLua.h"

/// What a coroutine costs before its first instruction, and a change to one.
enum { CREATE_INSTRUCTIONS = 128, RESUME_INSTRUCTIONS = 32 };
/// One closes another from a __close, and so on: the C stack that it takes is counted by nobody else.
enum { CLOSING_MAX = 4 };

/// In the registry: what stands for the host's thread. It never runs.
static char standInKey;

int clua_pass_abort_on(lua_State *L, int status) {
    clua_control *control = clua_control_of(L);
    clua_note_no_memory(control, status);
    if (control->aborted != CLUA_NOT_ABORTED) clua_abort(L, control->aborted);
    return status;
}

/// Resumes `thread` with the `arguments` on top of L; its results, or its error, end up on L. Returns their number, or
/// -1 for an error.
static int resume(lua_State *L, lua_State *thread, int arguments) {
    clua_charge(L, RESUME_INSTRUCTIONS);
    int results = 0;
    if (!lua_checkstack(thread, arguments)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, thread, arguments);
    clua_control *control = clua_control_of(L);
    clua_run_on(thread, control);
    int status = lua_resume(thread, L, arguments, &results);
    clua_run_on(L, control);
    if (status == LUA_OK || status == LUA_YIELD) {
        if (!lua_checkstack(L, results + 1)) {
            lua_pop(thread, results);
            lua_pushliteral(L, "too many results to resume");
            return -1;
        }
        lua_xmove(thread, L, results);
        clua_pass_abort_on(L, LUA_OK);
        return results;
    }
    lua_xmove(thread, L, 1);
    clua_pass_abort_on(L, status);
    return -1;
}

static lua_State *check_thread(lua_State *L, int index) {
    lua_State *thread = lua_tothread(L, index);
    luaL_argexpected(L, thread != NULL, index, "coroutine");
    return thread;
}

/// Resuming what cannot be resumed must not touch the stack of a running thread.
static bool is_resumable(lua_State *L, lua_State *thread) {
    if (thread == L || lua_status(thread) == LUA_YIELD) return thread != L;
    lua_Debug activation;
    return lua_status(thread) == LUA_OK && !lua_getstack(thread, 0, &activation) && lua_gettop(thread) > 0;
}

static int coroutine_resume(lua_State *L) {
    lua_State *thread = check_thread(L, 1);
    if (!is_resumable(L, thread)) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "cannot resume a coroutine that is dead or running");
        return 2;
    }
    int results = resume(L, thread, lua_gettop(L) - 1);
    lua_pushboolean(L, results >= 0);
    int count = results < 0 ? 1 : results;
    lua_insert(L, -(count + 1));
    return count + 1;
}

static int wrapped(lua_State *L) {
    lua_State *thread = lua_tothread(L, lua_upvalueindex(1));
    if (!is_resumable(L, thread)) return luaL_error(L, "cannot resume a coroutine that is dead or running");
    int results = resume(L, thread, lua_gettop(L));
    return results < 0 ? lua_error(L) : results;
}

static int coroutine_create(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    clua_charge(L, CREATE_INSTRUCTIONS);
    lua_State *thread = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, thread, 1);
    return 1;
}

static int coroutine_wrap(lua_State *L) {
    coroutine_create(L);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

/// A yield of a script reaches a script, never the host.
static int coroutine_yield(lua_State *L) {
    if (L == clua_control_of(L)->hostThread) return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static bool is_stand_in(lua_State *L, lua_State *thread) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &standInKey);
    bool isStandIn = lua_tothread(L, -1) == thread;
    lua_pop(L, 1);
    return isStandIn;
}

static bool is_host(lua_State *L) {
    lua_State *host = clua_control_of(L)->hostThread;
    bool isMain = lua_pushthread(L);
    lua_pop(L, 1);
    return isMain || L == host;
}

static const char *status_of(lua_State *L, lua_State *thread) {
    if (is_stand_in(L, thread)) return is_host(L) ? "running" : "normal";
    if (thread == L) return "running";
    lua_Debug activation;
    switch (lua_status(thread)) {
        case LUA_YIELD: return "suspended";
        case LUA_OK:
            if (lua_getstack(thread, 0, &activation)) return "normal";
            return lua_gettop(thread) == 0 ? "dead" : "suspended";
        default: return "dead";
    }
}

static int coroutine_status(lua_State *L) {
    lua_pushstring(L, status_of(L, check_thread(L, 1)));
    return 1;
}

/// One that an abort ended has no more to run: Lua has left its hooks off, so that a __close of it could not be
/// stopped.
static int coroutine_close(lua_State *L) {
    lua_State *thread = check_thread(L, 1);
    const char *status = status_of(L, thread);
    if (*status == 'r' || *status == 'n') return luaL_error(L, "cannot close a %s coroutine", status);
    clua_charge(L, RESUME_INSTRUCTIONS);
    lua_pushboolean(L, 1);
    if (clua_was_stopped(thread)) return 1;
    clua_control *control = clua_control_of(L);
    if (control->closing >= CLOSING_MAX) return luaL_error(L, "too many coroutines are closed inside each other");
    control->closing += 1;
    clua_run_on(thread, control);
    int result = lua_resetthread(thread);
    clua_run_on(L, control);
    control->closing -= 1;
    clua_pass_abort_on(L, result);
    if (result == LUA_OK) return 1;
    lua_pushboolean(L, 0);
    lua_xmove(thread, L, 1);
    return 2;
}

static int coroutine_running(lua_State *L) {
    bool isHost = is_host(L);
    if (isHost) lua_rawgetp(L, LUA_REGISTRYINDEX, &standInKey);
    else lua_pushthread(L);
    lua_pushboolean(L, isHost);
    return 2;
}

static int coroutine_isyieldable(lua_State *L) {
    lua_State *thread = lua_isnone(L, 1) ? L : check_thread(L, 1);
    bool isHost = thread == clua_control_of(L)->hostThread || is_stand_in(L, thread);
    lua_pushboolean(L, !isHost && lua_isyieldable(thread));
    return 1;
}

void clua_open_coroutines(lua_State *L) {
    static const luaL_Reg functions[] = {{"close", coroutine_close}, {"create", coroutine_create},
        {"isyieldable", coroutine_isyieldable}, {"resume", coroutine_resume}, {"running", coroutine_running},
        {"status", coroutine_status}, {"wrap", coroutine_wrap}, {"yield", coroutine_yield}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    lua_newthread(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &standInKey);
}
