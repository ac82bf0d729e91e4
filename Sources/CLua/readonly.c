// Read-only views of plain data: a method that promised not to change its object raises when it tries. A view costs about
// 100 ns, a read through it about 50 ns more than a direct one; nothing is copied.
#include "CLua.h"

/// In a view, the address of originalKey holds the table behind it; in the registry, that of viewKey the metatable.
static char originalKey, viewKey;

bool clua_push_original(lua_State *L, int index) {
    index = lua_absindex(L, index);
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &viewKey);
    bool isView = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (isView) lua_rawgetp(L, index, &originalKey);
    return isView;
}

void clua_push_view(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, index);
    lua_rawsetp(L, -2, &originalKey);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &viewKey);
    lua_setmetatable(L, -2);
}

static int view_index(lua_State *L) {
    lua_settop(L, 2);
    lua_rawgetp(L, 1, &originalKey);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, 3) == LUA_TNIL && luaL_getmetafield(L, 3, "__index") == LUA_TTABLE) {
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);  // a method
        return 1;
    }
    lua_settop(L, 4);
    if (lua_istable(L, 4)) clua_push_view(L, 4);
    return 1;
}

static int view_newindex(lua_State *L) {
    return luaL_error(L, "this data is read-only here (a readonly method, or another object)");
}

static int view_len(lua_State *L) {
    lua_rawgetp(L, 1, &originalKey);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

static int view_eq(lua_State *L) {
    for (int index = 1; index <= 2; index += 1)
        if (!clua_push_original(L, index)) lua_pushvalue(L, index);
    lua_pushboolean(L, lua_rawequal(L, -1, -2));
    return 1;
}

/// `next` that sees through views.
int clua_next(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    bool isView = clua_push_original(L, 1);
    if (isView) lua_replace(L, 1);
    if (!lua_next(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    if (isView && lua_istable(L, -1)) {
        clua_push_view(L, -1);
        lua_remove(L, -2);
    }
    return 2;
}

static int view_pairs(lua_State *L) {
    lua_pushcfunction(L, clua_next);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

int clua_rawget(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    bool isView = clua_push_original(L, 1);
    if (isView) lua_replace(L, 1);
    lua_rawget(L, 1);
    if (isView && lua_istable(L, -1)) clua_push_view(L, -1);
    return 1;
}

int clua_rawlen(lua_State *L) {
    luaL_argexpected(L, lua_istable(L, 1) || lua_type(L, 1) == LUA_TSTRING, 1, "table or string");
    if (clua_push_original(L, 1)) lua_replace(L, 1);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
    return 1;
}

void clua_open_views(lua_State *L) {
    static const luaL_Reg methods[] = {{"__index", view_index}, {"__newindex", view_newindex}, {"__len", view_len},
        {"__pairs", view_pairs}, {"__eq", view_eq}, {NULL, NULL}};
    luaL_newlib(L, methods);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &viewKey);
}
