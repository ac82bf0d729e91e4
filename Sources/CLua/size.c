// What plain data takes in a state's memory, for the host to hold against a limit.
#include "CLua.h"

/// Deeper than any data that an object may hold; what lies below does not count.
enum { DEPTH_MAX = 60 };
/// Of Lua 5.4 on 64 bits: a table, an element of its array, an entry of its hash, and what a string has besides its bytes.
enum { TABLE_BYTES = 56, ELEMENT_BYTES = 16, ENTRY_BYTES = 24, STRING_BYTES = 25 };

static size_t rounded_up(size_t count) {
    size_t power = count == 0 ? 0 : 1;
    while (power < count) power *= 2;
    return power;
}

/// Of the table on top. A table that is met on many ways counts on each, until no entries are left to look at.
static size_t table_bytes(lua_State *L, int depth, int64_t *entriesLeft) {
    if (depth > DEPTH_MAX || !lua_checkstack(L, 4)) return 0;
    int table = lua_gettop(L);
    size_t length = lua_rawlen(L, table), entries = 0, bytes = 0;
    for (lua_pushnil(L); *entriesLeft > 0 && lua_next(L, table);) {
        *entriesLeft -= 1;
        entries += 1;
        // The names of an object's own fields are its type's, and so shared.
        if (depth > 0 && lua_type(L, -2) == LUA_TSTRING) bytes += STRING_BYTES + lua_rawlen(L, -2);
        if (lua_type(L, -1) == LUA_TSTRING) bytes += STRING_BYTES + lua_rawlen(L, -1);
        if (lua_type(L, -1) == LUA_TTABLE) bytes += table_bytes(L, depth + 1, entriesLeft);
        lua_pop(L, 1);
    }
    lua_settop(L, table);
    if (length > entries) length = entries;
    return bytes + TABLE_BYTES + ELEMENT_BYTES * rounded_up(length) + ENTRY_BYTES * rounded_up(entries - length);
}

size_t clua_table_bytes(lua_State *L, int index, int64_t entriesMax) {
    if (lua_type(L, index) != LUA_TTABLE) return 0;
    lua_pushvalue(L, index);
    size_t bytes = table_bytes(L, 0, &entriesMax);
    lua_pop(L, 1);
    return bytes;
}
