// Takes two metamethods away from scripts, since Lua 5.4.4 can't be trusted with them. A script can put the field of one into
// its metatable at any time, so that refusing it where metatables are set would not do.
//
// `__mode`: with weak keys that lead to one another, one step of the collector takes the square of their number.
// `__concat`: where one that runs in the middle of a chain of `..` makes the stack grow, Lua goes on with the values of the
// stack that was: a script ends the process by it.
#include "CLua.h"

#include <string.h>

/// The state knows the names of the metamethods by the addresses of their strings, in a row: in the place of the middle one of
/// `names` comes a string that no script has. Nothing is changed where the three aren't found exactly once.
static void take_away(lua_State *L, char *state, size_t bytes, const char *const names[3]) {
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

void clua_take_metamethods_away(lua_State *L, char *state, size_t bytes) {
    static const char *const mode[] = {"__gc", "__mode", "__len"}, *const concat[] = {"__le", "__concat", "__call"};
    take_away(L, state, bytes, mode);
    take_away(L, state, bytes, concat);
}
