// The functions scripts may use, by allow-list: the standard ones that are harmless, and guarded forms of the rest.
#include "CLua.h"

static char globalsKey;

/// Keeps an abort or a lack of memory from being caught: called with the error on top after a protected call.
static void pass_abort_on(lua_State *L, int status) {
    clua_control *control = clua_control_of(L);
    if (status == LUA_ERRMEM && control->aborted == CLUA_NOT_ABORTED) control->aborted = CLUA_ABORTED_MEMORY;
    if (control->aborted != CLUA_NOT_ABORTED) clua_abort(L, control->aborted);
}

// MARK: pcall and xpcall

/// `dropped`: how many values below the results belong to the call itself.
static int finish_pcall(lua_State *L, int status, lua_KContext dropped) {
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)dropped;
    pass_abort_on(L, status);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int guarded_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    return finish_pcall(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall), 0);
}

/// A message handler that is not asked about an abort.
static int guarded_handler(lua_State *L) {
    if (clua_control_of(L)->aborted != CLUA_NOT_ABORTED) return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int guarded_xpcall(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, guarded_handler, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);  // function, handler, true, function, arguments…
    return finish_pcall(L, lua_pcallk(L, lua_gettop(L) - 4, LUA_MULTRET, 2, 2, finish_pcall), 2);
}

// MARK: Coroutines

/// Resumes `thread` with the `arguments` on top of L; its results, or its error, end up on L. Returns their number, or
/// -1 for an error.
static int resume(lua_State *L, lua_State *thread, int arguments) {
    int results = 0;
    if (!lua_checkstack(thread, arguments)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, thread, arguments);
    int status = lua_resume(thread, L, arguments, &results);
    if (status == LUA_OK || status == LUA_YIELD) {
        if (!lua_checkstack(L, results + 1)) {
            lua_pop(thread, results);
            lua_pushliteral(L, "too many results to resume");
            return -1;
        }
        lua_xmove(thread, L, results);
        return results;
    }
    lua_xmove(thread, L, 1);
    pass_abort_on(L, status);
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

static int guarded_resume(lua_State *L) {
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

static int guarded_wrapped(lua_State *L) {
    lua_State *thread = lua_tothread(L, lua_upvalueindex(1));
    if (!is_resumable(L, thread)) return luaL_error(L, "cannot resume a coroutine that is dead or running");
    int results = resume(L, thread, lua_gettop(L));
    return results < 0 ? lua_error(L) : results;
}

static int guarded_create(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *thread = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, thread, 1);
    return 1;
}

static int guarded_wrap(lua_State *L) {
    guarded_create(L);
    lua_pushcclosure(L, guarded_wrapped, 1);
    return 1;
}

/// A yield of a script reaches a script, never the host.
static int guarded_yield(lua_State *L) {
    if (L == clua_control_of(L)->hostThread) return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

/// Calls the original in upvalue 1; an abort inside it goes on.
static int then_check_abort(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    pass_abort_on(L, LUA_OK);
    return lua_gettop(L);
}

static int guarded_running(lua_State *L) {
    bool isMain = lua_pushthread(L);
    lua_pushboolean(L, isMain || L == clua_control_of(L)->hostThread);
    return 2;
}

static int guarded_isyieldable(lua_State *L) {
    lua_pushboolean(L, L != clua_control_of(L)->hostThread && lua_isyieldable(L));
    return 1;
}

// MARK: Tables

/// Hooks are off while a finalizer runs, so scripts get none: a loop in it could not be stopped.
static int guarded_setmetatable(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "__gc is not allowed here");
        lua_pop(L, 1);
    }
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/// Calls the original in upvalue 1 with the arguments as they are.
static int call_original(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static void charge_span(lua_State *L, lua_Integer from, lua_Integer to) {
    if (to < from) return;
    lua_Unsigned count = (lua_Unsigned)to - (lua_Unsigned)from + 1;
    clua_charge(L, count == 0 || count > INT64_MAX ? INT64_MAX : (int64_t)count);
}

static int charged_concat(lua_State *L) {
    lua_Integer from = luaL_optinteger(L, 3, 1);
    charge_span(L, from, lua_isnoneornil(L, 4) ? luaL_len(L, 1) : luaL_checkinteger(L, 4));
    return call_original(L);
}

static int charged_unpack(lua_State *L) {
    lua_Integer from = luaL_optinteger(L, 2, 1);
    charge_span(L, from, lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3));
    return call_original(L);
}

static int charged_move(lua_State *L) {
    charge_span(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
    return call_original(L);
}

static int charged_insert(lua_State *L) {
    if (lua_gettop(L) == 3) charge_span(L, luaL_checkinteger(L, 2), luaL_len(L, 1));
    return call_original(L);
}

static int charged_remove(lua_State *L) {
    if (lua_gettop(L) >= 2) charge_span(L, luaL_checkinteger(L, 2), luaL_len(L, 1));
    return call_original(L);
}

static int charged_sort(lua_State *L) {
    lua_Integer count = luaL_len(L, 1), levels = 1;
    if (count > INT32_MAX) clua_charge(L, INT64_MAX);
    while (count >> levels) levels += 1;
    if (count > 0) clua_charge(L, count * levels * 2);
    return call_original(L);
}

// MARK: Strings

static int charged_rep(lua_State *L) {
    size_t bytes = 0, separator = 0;
    luaL_checklstring(L, 1, &bytes);
    lua_Integer count = luaL_checkinteger(L, 2);
    luaL_optlstring(L, 3, "", &separator);
    if (bytes + separator == 0 || count <= 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    charge_span(L, 1, count);
    return call_original(L);
}

// MARK: Opening

/// Fields copied from the library on top of the stack into the table below it.
static void allow(lua_State *L, const char *const *names) {
    for (; *names != NULL; names += 1) {
        lua_getfield(L, -1, *names);
        lua_setfield(L, -3, *names);
    }
}

/// Replaces `name` in the table on top by a guard that has the original as its upvalue.
static void guard(lua_State *L, const char *name, lua_CFunction function) {
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
}

static void define(lua_State *L, const char *name, lua_CFunction function) {
    lua_pushcfunction(L, function);
    lua_setfield(L, -2, name);
}

static int refuse_write(lua_State *L) { return luaL_error(L, "the standard library cannot be changed"); }

static int next_of_original(lua_State *L) {
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_replace(L, 1);
    return lua_next(L, 1) ? 2 : 0;
}

static int pairs_of_original(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, next_of_original, 1);
    lua_pushnil(L);
    lua_pushnil(L);
    return 3;
}

/// Replaces the table on top by an empty one that reads through to it and cannot be written.
static void lock(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, pairs_of_original, 1);
    lua_setfield(L, -2, "__pairs");
    define(L, "__newindex", refuse_write);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/// Pushes a table with the allowed functions of one library.
static void open_library(lua_State *L, const char *name, lua_CFunction open, const char *const *names) {
    lua_newtable(L);
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    allow(L, names);
    lua_pop(L, 1);
}

static void open_base(lua_State *L) {
    static const char *const names[] = {"assert", "error", "getmetatable", "ipairs", "pairs", "rawequal", "select",
         "tonumber", "tostring", "type", "_VERSION", NULL};
    open_library(L, "_G", luaopen_base, names);
    define(L, "pcall", guarded_pcall);
    define(L, "xpcall", guarded_xpcall);
    define(L, "setmetatable", guarded_setmetatable);
    define(L, "rawset", clua_rawset);
    define(L, "next", clua_next);
    define(L, "rawget", clua_rawget);
    define(L, "rawlen", clua_rawlen);
}

static void open_string(lua_State *L) {
    static const char *const names[] = {"byte", "char", "format", "len", "lower", "pack", "packsize", "rep", "reverse",
        "sub", "unpack", "upper", NULL};
    open_library(L, "string", luaopen_string, names);
    guard(L, "rep", charged_rep);
    clua_open_patterns(L);
    // Methods of strings: the allowed table, behind a metatable nobody sees.
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    lock(L);
}

static void open_table(lua_State *L) {
    static const char *const names[] = {"concat", "insert", "move", "pack", "remove", "sort", "unpack", NULL};
    open_library(L, "table", luaopen_table, names);
    guard(L, "concat", charged_concat);
    guard(L, "insert", charged_insert);
    guard(L, "move", charged_move);
    guard(L, "remove", charged_remove);
    guard(L, "sort", charged_sort);
    guard(L, "unpack", charged_unpack);
}

static void open_coroutine(lua_State *L) {
    static const char *const names[] = {"close", "status", NULL};
    open_library(L, "coroutine", luaopen_coroutine, names);
    guard(L, "close", then_check_abort);
    define(L, "create", guarded_create);
    define(L, "isyieldable", guarded_isyieldable);
    define(L, "resume", guarded_resume);
    define(L, "running", guarded_running);
    define(L, "wrap", guarded_wrap);
    define(L, "yield", guarded_yield);
    lock(L);
}

static void open_rest(lua_State *L) {
    static const char *const math[] = {"abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod",
        "huge", "log", "max", "maxinteger", "min", "mininteger", "modf", "pi", "rad", "random", "randomseed", "sin",
        "sqrt", "tan", "tointeger", "type", "ult", NULL};
    static const char *const utf8[] = {"char", "charpattern", "codepoint", "codes", "len", "offset", NULL};
    static const char *const os[] = {"clock", "date", "time", NULL};
    open_library(L, "math", luaopen_math, math);
    lock(L);
    lua_setfield(L, -2, "math");
    open_library(L, "utf8", luaopen_utf8, utf8);
    lock(L);
    lua_setfield(L, -2, "utf8");
    open_library(L, "os", luaopen_os, os);
    lock(L);
    lua_setfield(L, -2, "os");
}

/// Builds the shared globals and, around them, the metatable of every environment.
int clua_open_sandbox(lua_State *L) {
    clua_open_views(L);
    open_base(L);
    open_string(L);
    lua_setfield(L, -2, "string");
    open_table(L);
    lua_getfield(L, -1, "unpack");
    lua_setfield(L, -3, "unpack");
    lock(L);
    lua_setfield(L, -2, "table");
    open_coroutine(L);
    lua_setfield(L, -2, "coroutine");
    open_rest(L);

    // What luaopen_base left in the real globals is not reachable; it goes all the same.
    lua_newtable(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &globalsKey);
    lua_pop(L, 1);
    return 0;
}

static void push_environment_metatable(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &globalsKey); }

void clua_push_globals(lua_State *L) {
    push_environment_metatable(L);
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
    lua_remove(L, -2);
}

void clua_reseed(lua_State *L, int64_t seed) {
    int base = lua_gettop(L);
    clua_push_globals(L);
    lua_getfield(L, -1, "math");
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, seed);
    lua_pcall(L, 1, 0, 0);
    lua_settop(L, base);
}

void clua_lock_global(lua_State *L, const char *name) {
    clua_push_globals(L);
    lua_pushstring(L, name);
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    lock(L);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void clua_push_environment(lua_State *L) {
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    push_environment_metatable(L);
    lua_setmetatable(L, -2);
}
