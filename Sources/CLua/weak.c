// Makes all tables strong. With weak keys that lead to one another, one step of the collector takes the square of their
// number, and a script can make a table weak at any time, by a field of its metatable.
#include "CLua.h"

#include <string.h>

/// The state knows the names of the metamethods by the addresses of three strings in a row; "__mode" is the middle one.
/// In its place comes a string that no script has. Nothing is changed where the three aren't found exactly once.
void clua_make_tables_strong(lua_State *L, char *state, size_t bytes) {
    static const char *const names[] = {"__gc", "__mode", "__len"};
    const void *strings[3];
    for (int at = 0; at < 3; at += 1) {
        lua_pushstring(L, names[at]);
        strings[at] = lua_topointer(L, -1);
        lua_pop(L, 1);
    }
    char *found = NULL;
    int count = 0;
    for (size_t at = 0; at + sizeof strings <= bytes; at += sizeof(void *)) {
        if (memcmp(state + at, strings, sizeof strings) != 0) continue;
        found = state + at + sizeof(void *);
        count += 1;
    }
    if (count != 1) return;
    char secret[24];
    uint64_t parts[] = {clua_identity(state), clua_identity(found)};
    memcpy(secret, parts, sizeof parts);
    lua_pushlstring(L, secret, sizeof parts);
    const void *name = lua_topointer(L, -1);
    memcpy(found, &name, sizeof name);
    // The registry keeps it alive.
    lua_rawsetp(L, LUA_REGISTRYINDEX, found);
}
