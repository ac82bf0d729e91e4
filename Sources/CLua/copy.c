// Deep copies of plain data: what a script puts into an object becomes the object's own.
#include "CLua.h"

/// Also what the value codecs allow; a cycle ends here.
enum { DEPTH_MAX = 60 };

/// Copies the table on top of the stack and leaves the copy in its place.
static void copy_table(lua_State *L, int depth) {
    if (depth > DEPTH_MAX) luaL_error(L, "data nested deeper than %d (or in a cycle)", DEPTH_MAX);
    luaL_checkstack(L, 6, "data nested too deep");
    if (clua_push_original(L, -1)) lua_remove(L, -2);
    int source = lua_gettop(L);
    lua_Unsigned length = lua_rawlen(L, source);
    lua_createtable(L, length > 1 << 20 ? 1 << 20 : (int)length, 0);
    for (lua_pushnil(L); lua_next(L, source);) {
        // Also what ends a table that holds itself twice, and so on downwards: it has more paths than entries.
        clua_charge(L, 4);
        switch (lua_type(L, -1)) {
            case LUA_TTABLE: copy_table(L, depth + 1); break;
            case LUA_TFUNCTION: case LUA_TTHREAD: case LUA_TUSERDATA: case LUA_TLIGHTUSERDATA:
                luaL_error(L, "an object holds plain data, no %s", luaL_typename(L, -1));
        }
        if (lua_type(L, -2) != LUA_TSTRING && lua_type(L, -2) != LUA_TNUMBER && lua_type(L, -2) != LUA_TBOOLEAN)
            luaL_error(L, "an object holds plain data, no %s as key", luaL_typename(L, -2));
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, source + 1);
    }
    clua_charge(L, 4);
    lua_remove(L, source);
}

void clua_copy_top(lua_State *L) { copy_table(L, 0); }

static int copy_protected(lua_State *L) {
    int hasMetatable = lua_getmetatable(L, 1);
    lua_pushvalue(L, 1);
    copy_table(L, 0);
    if (hasMetatable) {
        lua_pushvalue(L, 2);
        lua_setmetatable(L, -2);
    }
    return 1;
}

int clua_copy(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_pushcfunction(L, copy_protected);
    lua_pushvalue(L, index);
    return clua_pcall(L, 1, 1);
}
