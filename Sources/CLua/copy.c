// Deep copies of plain data: what a script puts into an object becomes the object's own, and each table is in it once.
#include "CLua.h"

enum { DEPTH_MAX = CLUA_DEPTH_MAX, PATH_BYTES_MAX = 80 };

/// The way to a table that is being copied: the table, and where on the stack its key in the one above is.
typedef struct step {
    const struct step *above;
    const void *table;
    int key;
} step;

/// A copy under way. The tables that it has met are in a set on the stack; the first one, mostly the only one, is not.
typedef struct {
    bool isStored;  ///< by a tracked view: the script's tables become views of their copies, and the object's own ones move
    int seen;
    const void *first;
} copying;

// MARK: Naming what is wrong

/// Pushes a key as it is written behind a table.
static void push_key(lua_State *L, int key, bool isFirst) {
    key = lua_absindex(L, key);
    if (lua_type(L, key) == LUA_TSTRING && lua_rawlen(L, key) <= 40) {
        lua_pushfstring(L, isFirst ? "%s" : ".%s", lua_tostring(L, key));
        return;
    }
    luaL_tolstring(L, key, NULL);
    lua_pushfstring(L, "[%s]", lua_rawlen(L, -1) <= 40 ? lua_tostring(L, -1) : "…");
    lua_remove(L, -2);
}

/// Cuts a long text on top.
static const char *shorten(lua_State *L) {
    if (lua_rawlen(L, -1) > PATH_BYTES_MAX) {
        lua_pushlstring(L, lua_tostring(L, -1), PATH_BYTES_MAX);
        lua_pushliteral(L, "…");
        lua_concat(L, 2);
    }
    return lua_tostring(L, -1);
}

static void push_steps(lua_State *L, const step *at) {
    if (at == NULL || at->key == 0) {
        lua_pushliteral(L, "");
        return;
    }
    push_steps(L, at->above);
    push_key(L, at->key, lua_rawlen(L, -1) == 0);
    lua_concat(L, 2);
}

static int refuse(lua_State *L, const step *at, const char *what) {
    push_steps(L, at);
    const char *path = shorten(L);
    return luaL_error(L, "'%s' %s", path[0] == 0 ? "the object" : path, what);
}

static const char *const isTooDeep = "is nested deeper than an object may be: 60 tables";
static const char *const isShared =
    "is a table that is in the object already, or in itself: an object holds each table once; store copy(…) of it";

// MARK: Copying

/// Whether the table has been met before.
static bool see(lua_State *L, copying *state, const void *table) {
    if (state->first == NULL) {
        state->first = table;
        return false;
    }
    if (table == state->first) return true;
    if (lua_isnil(L, state->seen)) {
        lua_newtable(L);
        lua_replace(L, state->seen);
    }
    bool isSeen = lua_rawgetp(L, state->seen, table) != LUA_TNIL;
    lua_pop(L, 1);
    if (isSeen) return true;
    lua_pushboolean(L, 1);
    lua_rawsetp(L, state->seen, table);
    return false;
}

static void copy_table(lua_State *L, copying *state, const step *way, int depth);

/// The value on top, which stands at `key` of the table at `target`: its copy comes in its place.
static void copy_value(lua_State *L, copying *state, const step *way, int key, int target, int depth) {
    step here = {way, NULL, key};
    switch (lua_type(L, -1)) {
        case LUA_TTABLE: {
            here.table = lua_topointer(L, -1);
            clua_view_kind kind = clua_kind_of_view(L, lua_gettop(L));
            if (kind == CLUA_TRACKED_VIEW && state->isStored && target != 0) {
                clua_push_original(L, -1);
                lua_remove(L, -2);
                clua_journal_move(L, target, key, depth - 1);
                return;
            }
            if (kind == CLUA_TRACKED_VIEW || kind == CLUA_READONLY_VIEW)
                refuse(L, &here, "is a part of another object: store copy(…) of it");
            copy_table(L, state, &here, depth);
            return;
        }
        case LUA_TFUNCTION: case LUA_TTHREAD: case LUA_TUSERDATA: case LUA_TLIGHTUSERDATA:
            lua_pushfstring(L, "is a %s: an object holds plain data, no %s", luaL_typename(L, -1), luaL_typename(L, -1));
            refuse(L, &here, lua_tostring(L, -1));
    }
}

/// Copies the table on top of the stack and leaves the copy in its place.
static void copy_table(lua_State *L, copying *state, const step *way, int depth) {
    if (depth > DEPTH_MAX) refuse(L, way, isTooDeep);
    luaL_checkstack(L, 12, "data nested too deep");
    int table = lua_gettop(L), source = table;
    bool isConstant = clua_kind_of_view(L, table) == CLUA_FROZEN_VIEW;
    if (isConstant) {
        // Nobody writes it, so that each of its places can have a copy.
        clua_push_original(L, table);
        source = table + 1;
    } else {
        if (lua_getmetatable(L, table)) refuse(L, way, "has a metatable: an object holds plain data");
        for (const step *at = way->above; at != NULL; at = at->above)
            if (at->table == way->table) refuse(L, way, isShared);
        if (!state->isStored && see(L, state, way->table)) refuse(L, way, isShared);
    }
    lua_Unsigned length = lua_rawlen(L, source);
    lua_createtable(L, length > 1 << 20 ? 1 << 20 : (int)length, 0);
    int copy = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, source);) {
        clua_charge(L, 4);
        int key = copy + 1;
        if (lua_type(L, key) != LUA_TSTRING && lua_type(L, key) != LUA_TNUMBER && lua_type(L, key) != LUA_TBOOLEAN) {
            lua_pushfstring(L, "has a %s as key: an object holds plain data", luaL_typename(L, key));
            refuse(L, way, lua_tostring(L, -1));
        }
        lua_pushvalue(L, key);
        lua_insert(L, -2);
        copy_value(L, state, way, key, copy, depth + 1);
        lua_rawset(L, copy);
    }
    clua_charge(L, 4);
    if (state->isStored && !isConstant) clua_turn_into_view(L, table, copy, depth);
    lua_replace(L, table);
    lua_settop(L, table);
}

void clua_copy_to_store(lua_State *L, int key, int depth) {
    copying state = {true, 0, NULL};
    step way = {NULL, lua_topointer(L, -1), lua_absindex(L, key)};
    copy_table(L, &state, &way, depth + 1);
}

static int copy_protected(lua_State *L) {
    lua_settop(L, 1);
    lua_pushnil(L);
    copying state = {false, 2, NULL};
    step way = {NULL, lua_topointer(L, 1), 0};
    lua_pushvalue(L, 1);
    clua_view_kind kind = clua_kind_of_view(L, 1);
    if (kind == CLUA_TRACKED_VIEW || kind == CLUA_READONLY_VIEW)
        refuse(L, &way, "is a part of another object: return copy(…) of it");
    copy_table(L, &state, &way, 0);
    return 1;
}

int clua_copy(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_pushcfunction(L, copy_protected);
    lua_pushvalue(L, index);
    return clua_pcall(L, 1, 1);
}

// MARK: Looking through an object

/// The way to a table of the object, for messages: true with the path on top, or nothing.
static bool find_path(lua_State *L, const step *way, const void *wanted, int depth) {
    if (depth > DEPTH_MAX + 1) return false;
    luaL_checkstack(L, 8, "data nested too deep");
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table);) {
        clua_charge(L, 2);
        step here = {way, lua_topointer(L, -1), table + 1};
        if (lua_istable(L, -1)) {
            if (here.table == wanted) {
                push_steps(L, &here);
                lua_replace(L, table + 1);
                lua_settop(L, table + 1);
                return true;
            }
            if (find_path(L, &here, wanted, depth + 1)) {
                lua_replace(L, table + 1);
                lua_settop(L, table + 1);
                return true;
            }
        }
        lua_settop(L, table + 1);
    }
    return false;
}

/// Raises where a table is met twice, or lies too deep. The table on top stays; the set of those met is at `seen`.
static void visit(lua_State *L, int root, int seen, const step *way, int depth) {
    if (depth > DEPTH_MAX) refuse(L, way, isTooDeep);
    luaL_checkstack(L, 12, "data nested too deep");
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table);) {
        clua_charge(L, 4);
        if (lua_istable(L, -1)) {
            step here = {way, lua_topointer(L, -1), table + 1};
            if (lua_rawgetp(L, seen, here.table) != LUA_TNIL) {
                push_steps(L, &here);
                const char *path = shorten(L);
                lua_pushvalue(L, root);
                bool isFound = here.table != lua_topointer(L, root) && find_path(L, NULL, here.table, 0);
                luaL_error(L, "'%s' and '%s' are one table: an object holds each table once; store copy(…) of it",
                    isFound ? shorten(L) : "the object", path);
            }
            lua_pop(L, 1);
            lua_pushboolean(L, 1);
            lua_rawsetp(L, seen, here.table);
            visit(L, root, seen, &here, depth + 1);
        }
        lua_settop(L, table + 1);
    }
}

void clua_check_object(lua_State *L, int root) {
    root = lua_absindex(L, root);
    lua_newtable(L);
    int seen = lua_gettop(L);
    lua_pushboolean(L, 1);
    lua_rawsetp(L, seen, lua_topointer(L, root));
    lua_pushvalue(L, root);
    visit(L, root, seen, NULL, 0);
    lua_settop(L, seen - 1);
}

int clua_height(lua_State *L, int depth) {
    if (depth > DEPTH_MAX) return depth;
    luaL_checkstack(L, 8, "data nested too deep");
    int table = lua_gettop(L), height = depth;
    for (lua_pushnil(L); lua_next(L, table); lua_settop(L, table + 1)) {
        clua_charge(L, 2);
        if (!lua_istable(L, -1)) continue;
        int below = clua_height(L, depth + 1);
        if (below > height) height = below;
    }
    return height;
}
