// Brings tables that are about to be used into the processor's cache, those of several calls at once, so that the waits for
// memory overlap.
//
// It looks where Lua 5.4 keeps a table's parts. Nothing depends on what it finds there: a version of Lua that keeps them
// elsewhere within its tables would only make it useless; for any other version than 5.4 it does nothing.
#include "CLua.h"

#include <string.h>

/// The parts of a table and of a hash node, as far as they are of interest.
enum { TABLE_NODE_SHIFT = 11, TABLE_ARRAY = 16, TABLE_NODES = 24, NODE_TYPE = 8, NODE_BYTES = 24, NODES_MAX = 4 };
enum { COLLECTABLE_TABLE = LUA_TTABLE | 64 };

static const char *pointer_at(const char *start) {
    const char *pointer;
    memcpy(&pointer, start, sizeof pointer);
    return pointer;
}

/// A table's header has come: its first elements and its nodes are next.
static void prefetch_parts(const char *table) {
    __builtin_prefetch(pointer_at(table + TABLE_ARRAY));
    __builtin_prefetch(pointer_at(table + TABLE_NODES));
}

/// The tables that a small table's fields hold, at most `room`; returns how many.
static int inner_tables(const char *table, const char **inner, int room) {
    const char *node = pointer_at(table + TABLE_NODES);
    unsigned shift = (unsigned char)table[TABLE_NODE_SHIFT];
    if (node == NULL || shift > 2) return 0;
    int found = 0;
    for (int at = 0; at < (1 << shift) && at < NODES_MAX && found < room; at += 1, node += NODE_BYTES)
        if (node[NODE_TYPE] == COLLECTABLE_TABLE) inner[found++] = pointer_at(node);
    return found;
}

void clua_prefetch(lua_State *L, const int *references, int count) {
    if (LUA_VERSION_NUM != 504) return;
    const char *tables[CLUA_PREFETCH_MAX], *inner[CLUA_PREFETCH_MAX * 2];
    int tablesFound = 0, innerFound = 0;
    for (int at = 0; at < count && at < CLUA_PREFETCH_MAX; at += 1) {
        if (lua_rawgeti(L, LUA_REGISTRYINDEX, references[at]) == LUA_TTABLE) {
            tables[tablesFound] = lua_topointer(L, -1);
            __builtin_prefetch(tables[tablesFound++]);
        }
        lua_pop(L, 1);
    }
    for (int at = 0; at < tablesFound; at += 1) prefetch_parts(tables[at]);
    for (int at = 0; at < tablesFound; at += 1)
        innerFound += inner_tables(tables[at], inner + innerFound, CLUA_PREFETCH_MAX * 2 - innerFound);
    for (int at = 0; at < innerFound; at += 1) __builtin_prefetch(inner[at]);
    for (int at = 0; at < innerFound; at += 1) prefetch_parts(inner[at]);
}
