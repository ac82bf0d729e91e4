// The functions scripts may use, by allow-list: the standard ones that are harmless, and guarded forms of the rest.
#include "CLua.h"

static char globalsKey;

/// What a caught error costs.
enum { ERROR_INSTRUCTIONS = 64 };
/// Calls around a protected one, at most. In a coroutine Lua counts them no further than its stack; an error goes through
/// all calls around each protected one that it passes, so that an abort would take the square of their number.
enum { PROTECTED_DEPTH_MAX = 4000 };

// MARK: pcall and xpcall

/// `dropped`: how many values below the results belong to the call itself.
static int finish_pcall(lua_State *L, int status, lua_KContext dropped) {
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)dropped;
    clua_pass_abort_on(L, status);
    // An error may have taken a while: what it says is looked up in the code.
    clua_charge(L, ERROR_INSTRUCTIONS);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static void check_depth(lua_State *L) {
    lua_Debug activation;
    if (lua_getstack(L, PROTECTED_DEPTH_MAX, &activation)) luaL_error(L, "stack overflow (protected calls nested too deep)");
}

static int guarded_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    check_depth(L);
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
    check_depth(L);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, guarded_handler, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);  // function, handler, true, function, arguments…
    return finish_pcall(L, lua_pcallk(L, lua_gettop(L) - 4, LUA_MULTRET, 2, 2, finish_pcall), 2);
}

/// As the standard one. What the host raised remains that where it is raised again with a position in front.
static int raising_error(lua_State *L) {
    int level = (int)luaL_optinteger(L, 2, 1);
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING || level <= 0) return lua_error(L);
    bool isRaised = clua_is_raised(L);
    luaL_where(L, level);
    lua_insert(L, 1);
    lua_concat(L, 2);
    if (isRaised) clua_note_raised(L);
    return lua_error(L);
}

static int raising_assert(lua_State *L) {
    if (lua_toboolean(L, 1)) return lua_gettop(L);
    luaL_checkany(L, 1);
    lua_remove(L, 1);
    lua_pushliteral(L, "assertion failed!");
    lua_settop(L, 1);
    return raising_error(L);
}

// MARK: Metatables and raw access

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
    clua_use_frozen(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

static int charged_rawequal(lua_State *L) {
    luaL_checkany(L, 1);
    luaL_checkany(L, 2);
    if (lua_type(L, 1) == LUA_TSTRING) clua_charge_bytes(L, lua_rawlen(L, 1));
    lua_pushboolean(L, lua_rawequal(L, 1, 2));
    return 1;
}

// MARK: Opening

/// Fields copied from the library on top of the stack into the table below it.
static void allow(lua_State *L, const char *const *names) {
    for (; *names != NULL; names += 1) {
        lua_getfield(L, -1, *names);
        lua_setfield(L, -3, *names);
    }
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
    static const char *const names[] = {"getmetatable", "ipairs", "select", "type", "_VERSION",
        NULL};
    open_library(L, "_G", luaopen_base, names);
    define(L, "assert", raising_assert);
    define(L, "error", raising_error);
    define(L, "pcall", guarded_pcall);
    define(L, "xpcall", guarded_xpcall);
    define(L, "setmetatable", guarded_setmetatable);
    define(L, "tonumber", clua_tonumber);
    define(L, "tostring", clua_tostring);
    define(L, "next", clua_next);
    define(L, "pairs", clua_pairs);
    define(L, "rawequal", charged_rawequal);
    define(L, "rawset", clua_rawset);
    define(L, "rawget", clua_rawget);
    define(L, "rawlen", clua_rawlen);
}

static void open_string(lua_State *L) {
    static const char *const names[] = {"pack", "packsize", "unpack", NULL};
    open_library(L, "string", luaopen_string, names);
    clua_open_packing(L);
    clua_open_texts(L);
    clua_open_patterns(L);
    // Methods of strings: the allowed table, behind a metatable nobody sees.
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    clua_open_text_arithmetic(L);
    lua_pop(L, 2);
    lock(L);
}

static void open_rest(lua_State *L) {
    static const char *const math[] = {"abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod",
        "huge", "log", "maxinteger", "mininteger", "modf", "pi", "rad", "random", "randomseed", "sin", "sqrt", "tan",
        "tointeger", "type", "ult", NULL};
    static const char *const os[] = {"clock", "date", "time", NULL};
    open_library(L, "math", luaopen_math, math);
    clua_open_math(L);
    lock(L);
    lua_setfield(L, -2, "math");
    lua_newtable(L);
    clua_open_utf8(L);
    lock(L);
    lua_setfield(L, -2, "utf8");
    open_library(L, "os", luaopen_os, os);
    clua_open_os(L);
    lock(L);
    lua_setfield(L, -2, "os");
}

/// Builds the shared globals and, around them, the metatable of every environment.
int clua_open_sandbox(lua_State *L) {
    clua_control *control = clua_control_of(L);
    clua_take_metamethods_away(L, control->state.start, control->state.bytes);
    clua_open_views(L);
    lua_pushboolean(L, 0);
    clua_note_raised(L);
    lua_pop(L, 1);
    open_base(L);
    open_string(L);
    lua_setfield(L, -2, "string");
    lua_newtable(L);
    clua_open_tables(L);
    lua_getfield(L, -1, "unpack");
    lua_setfield(L, -3, "unpack");
    lock(L);
    lua_setfield(L, -2, "table");
    lua_newtable(L);
    clua_open_coroutines(L);
    lock(L);
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
