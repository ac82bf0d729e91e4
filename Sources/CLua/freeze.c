// What a type's file leaves behind once it has run: its globals and tables are frozen, and the variables that its functions
// could write are watched, so that no state is kept between calls but the objects'.
//
// A variable of a file is an upvalue of its functions, and Lua does not say when one is written. Which ones can be is read
// from the functions' code, as `string.dump` has it; of a type that writes none nothing is watched.
#include "CLua.h"

#include <stdlib.h>
#include <string.h>

// MARK: Which upvalues a function writes

typedef struct {
    unsigned char *bytes;
    size_t count, capacity, at;
    bool isBroken;
} code;

/// By the upvalue's number.
typedef struct {
    bool isWritten[256];
} writes;

static int append(lua_State *L, const void *piece, size_t bytes, void *context) {
    (void)L;
    code *c = context;
    if (c->count + bytes > c->capacity) {
        size_t capacity = (c->count + bytes) * 2;
        unsigned char *moved = realloc(c->bytes, capacity);
        if (moved == NULL) return 1;
        c->bytes = moved;
        c->capacity = capacity;
    }
    memcpy(c->bytes + c->count, piece, bytes);
    c->count += bytes;
    return 0;
}

static const unsigned char *take(code *c, size_t bytes) {
    if (c->isBroken || bytes > c->count - c->at) {
        c->isBroken = true;
        return NULL;
    }
    c->at += bytes;
    return c->bytes + c->at - bytes;
}

static unsigned take_byte(code *c) {
    const unsigned char *byte = take(c, 1);
    return byte == NULL ? 0 : *byte;
}

/// Seven bits a byte, the last one marked.
static size_t take_size(code *c) {
    size_t value = 0;
    for (int at = 0; at < 10; at += 1) {
        unsigned byte = take_byte(c);
        value = value << 7 | (byte & 0x7F);
        if (byte & 0x80) return value;
    }
    c->isBroken = true;
    return 0;
}

static void skip_string(code *c) {
    size_t size = take_size(c);
    if (size > 0) take(c, size - 1);
}

static void skip_constant(code *c) {
    switch (take_byte(c)) {
        case LUA_TNUMBER: case LUA_TNUMBER | 1 << 4: take(c, 8); break;
        case LUA_TSTRING: case LUA_TSTRING | 1 << 4: skip_string(c); break;
        case LUA_TNIL: case LUA_TBOOLEAN: case LUA_TBOOLEAN | 1 << 4: break;
        default: c->isBroken = true;
    }
}

/// Reads one function and those in it; fills in which of its upvalues they write.
static void read_function(code *c, writes *w, int depth) {
    enum { SETUPVAL = 10 };
    memset(w, 0, sizeof *w);
    if (depth > 200) c->isBroken = true;
    skip_string(c);
    take_size(c);
    take_size(c);
    take(c, 3);
    size_t instructions = take_size(c);
    for (size_t at = 0; at < instructions && !c->isBroken; at += 1) {
        const unsigned char *bytes = take(c, 4);
        uint32_t instruction = 0;
        if (bytes != NULL) memcpy(&instruction, bytes, 4);
        if ((instruction & 0x7F) == SETUPVAL) w->isWritten[instruction >> 16 & 0xFF] = true;
    }
    for (size_t left = take_size(c); left > 0 && !c->isBroken; left -= 1) skip_constant(c);
    size_t count = take_size(c);
    if (count > 256) c->isBroken = true;
    take(c, count * 3);
    for (size_t left = take_size(c); left > 0 && !c->isBroken; left -= 1) {
        // What an inner function writes is its upvalue: the place that says which one of this function's it is comes in its
        // own list, so it is read twice.
        size_t start = c->at;
        writes inner;
        read_function(c, &inner, depth + 1);
        size_t end = c->at;
        if (c->isBroken) return;
        c->at = start;
        skip_string(c);
        take_size(c);
        take_size(c);
        take(c, 3);
        size_t skipped = take_size(c);
        take(c, skipped * 4);
        for (size_t constants = take_size(c); constants > 0 && !c->isBroken; constants -= 1) skip_constant(c);
        size_t innerCount = take_size(c);
        for (size_t at = 0; at < innerCount && at < 256 && !c->isBroken; at += 1) {
            unsigned isInStack = take_byte(c), number = take_byte(c);
            take_byte(c);
            if (!isInStack && inner.isWritten[at]) w->isWritten[number & 0xFF] = true;
        }
        c->at = end;
    }
    take(c, take_size(c));
    for (size_t left = take_size(c) * 2; left > 0 && !c->isBroken; left -= 1) take_size(c);
    for (size_t left = take_size(c); left > 0 && !c->isBroken; left -= 1) {
        skip_string(c);
        take_size(c);
        take_size(c);
    }
    for (size_t left = take_size(c); left > 0 && !c->isBroken; left -= 1) skip_string(c);
}

/// Of the Lua function on top. Where its code is not understood all its upvalues count as written.
static void find_writes(lua_State *L, writes *w) {
    enum { HEADER_BYTES = 31, VERSION_AT = 4, VERSION = 0x54 };
    code c = {NULL, 0, 0, 0, false};
    c.isBroken = lua_dump(L, append, &c, 1) != 0 || c.count < HEADER_BYTES + 1 || c.bytes[VERSION_AT] != VERSION;
    c.at = HEADER_BYTES + 1;
    if (!c.isBroken) read_function(&c, w, 0);
    if (c.isBroken || c.at != c.count) memset(w, 1, sizeof *w);
    free(c.bytes);
}

// MARK: Walking

/// Where on the stack of the walk is what it needs.
enum { ENVIRONMENT = 1, SEEN = 2, WATCHED = 3, FIXED = 3 };

/// Marks the value on top; true when it was marked before.
static bool mark(lua_State *L) {
    lua_pushvalue(L, -1);
    bool isSeen = lua_rawget(L, SEEN) != LUA_TNIL;
    lua_pop(L, 1);
    if (isSeen) return true;
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, SEEN);
    return false;
}

/// The functions and tables that all scripts share are locked: they are left as they are.
static void mark_shared(lua_State *L, int depth) {
    if ((!lua_istable(L, -1) && !lua_isfunction(L, -1)) || depth > 4 || mark(L) || !lua_istable(L, -1)) return;
    int table = lua_gettop(L);
    if (lua_getmetatable(L, table)) {
        lua_pushliteral(L, "__index");
        lua_rawget(L, -2);
        mark_shared(L, depth + 1);
        lua_settop(L, table);
    }
    for (lua_pushnil(L); lua_next(L, table); lua_settop(L, table + 1)) mark_shared(L, depth + 1);
}

static void walk(lua_State *L);

static int refuse_kept(lua_State *L, const char *what) {
    return luaL_error(L, "a variable of the file keeps %s: no state but an object's (self) is kept between calls", what);
}

static void walk_function(lua_State *L) {
    int function = lua_gettop(L);
    if (lua_iscfunction(L, function)) refuse_kept(L, "an iterator or a coroutine");
    writes w;
    find_writes(L, &w);
    for (int at = 1; lua_getupvalue(L, function, at) != NULL; at += 1) {
        if (w.isWritten[(at - 1) & 0xFF]) {
            lua_pushlightuserdata(L, lua_upvalueid(L, function, at));
            if (!mark(L)) {
                lua_Integer count = (lua_Integer)lua_rawlen(L, WATCHED);
                lua_pushvalue(L, function);
                lua_rawseti(L, WATCHED, count + 1);
                lua_pushinteger(L, at);
                lua_rawseti(L, WATCHED, count + 2);
                lua_pushvalue(L, -2);
                if (lua_isnil(L, -1)) {  // a list has no holes
                    lua_pop(L, 1);
                    lua_pushlightuserdata(L, NULL);
                }
                lua_rawseti(L, WATCHED, count + 3);
            }
            lua_pop(L, 1);
        }
        walk(L);
        lua_settop(L, function);
    }
}

/// The table on top, whose fields move to another one: what is read is read there.
static void freeze_table(lua_State *L) {
    int table = lua_gettop(L);
    lua_newtable(L);
    int original = table + 1;
    int hasMetatable = lua_getmetatable(L, table);
    if (hasMetatable) {
        lua_pushvalue(L, table + 2);
        walk(L);  // the metatable is frozen too, and is then where its fields are
        lua_pop(L, 1);
        if (clua_push_original(L, table + 2)) lua_replace(L, table + 2);
        lua_pushnil(L);
        lua_setmetatable(L, table);
    }
    for (lua_pushnil(L); lua_next(L, table);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, original);
    }
    clua_freeze_view(L, table, original, hasMetatable ? table + 2 : 0);
    for (lua_pushnil(L); lua_next(L, original);) {
        walk(L);
        lua_pop(L, 1);
        walk(L);
    }
    lua_settop(L, table);
}

/// The value on top, and what is reachable from it.
static void walk(lua_State *L) {
    luaL_checkstack(L, 20, "too deep");
    switch (lua_type(L, -1)) {
        case LUA_TFUNCTION: if (!mark(L)) walk_function(L); return;
        case LUA_TTABLE: if (!mark(L)) freeze_table(L); return;
        case LUA_TTHREAD: refuse_kept(L, "a coroutine"); return;
        default: return;
    }
}

static int refuse_global(lua_State *L) {
    const char *name = clua_push_text(L, 2, NULL);
    return luaL_error(L, "'%s' is a global, which a method can't write: use local, or a field of self", name);
}

/// Environment -> what is watched.
static int freeze_protected(lua_State *L) {
    lua_settop(L, 1);
    lua_newtable(L);
    lua_newtable(L);
    clua_push_globals(L);
    mark_shared(L, 0);
    int shared = lua_gettop(L);
    lua_pushvalue(L, ENVIRONMENT);
    mark(L);
    lua_pop(L, 1);
    // All that the environment shows, its own and the shared, one step away.
    lua_newtable(L);
    int original = lua_gettop(L);
    for (int source = shared;; source = ENVIRONMENT) {
        for (lua_pushnil(L); lua_next(L, source);) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, original);
        }
        if (source == ENVIRONMENT) break;
    }
    for (lua_pushnil(L); lua_next(L, ENVIRONMENT);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, ENVIRONMENT);
    }
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, original);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_global);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, ENVIRONMENT);
    for (lua_pushnil(L); lua_next(L, original); lua_settop(L, original + 1)) walk(L);
    lua_settop(L, WATCHED);
    return 1;
}

int clua_freeze(lua_State *L, int environment) {
    environment = lua_absindex(L, environment);
    lua_pushcfunction(L, freeze_protected);
    lua_pushvalue(L, environment);
    return clua_pcall(L, 1, 1);
}

bool clua_restore_watched(lua_State *L, int watched) {
    watched = lua_absindex(L, watched);
    int top = lua_gettop(L);
    char name[60] = "";
    bool isChanged = false;
    lua_Integer count = (lua_Integer)lua_rawlen(L, watched);
    for (lua_Integer at = 1; at + 2 <= count; at += 3) {
        lua_rawgeti(L, watched, at);
        lua_rawgeti(L, watched, at + 1);
        int number = (int)lua_tointeger(L, -1);
        if (lua_rawgeti(L, watched, at + 2) == LUA_TLIGHTUSERDATA) {
            lua_pop(L, 1);
            lua_pushnil(L);
        }
        const char *shown = lua_getupvalue(L, top + 1, number);
        // What is no number was none before, where it is still the same.
        bool isSame = shown == NULL || lua_rawequal(L, -1, -2) ||
            (lua_type(L, -1) == LUA_TNUMBER && lua_type(L, -2) == LUA_TNUMBER && !lua_rawequal(L, -1, -1) && !lua_rawequal(L, -2, -2));
        if (!isSame) {
            lua_pop(L, 1);
            lua_setupvalue(L, top + 1, number);
            if (!isChanged) strncpy(name, shown, sizeof name - 1);
            isChanged = true;
        }
        lua_settop(L, top);
    }
    if (isChanged)
        lua_pushfstring(L, "'%s' is a variable of the type's file, which a method can't write: use a field of self", name);
    return isChanged;
}
