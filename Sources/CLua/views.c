// Views of an object's tables, through which methods see them: read-only ones, which raise when written, and tracked ones,
// which write into a journal what was there before, so that a method that fails can be undone. Nothing is copied but new
// data. A view costs about 100 ns, an access through it about 50 ns more than a direct one.
#include "CLua.h"

/// In a view, the address of originalKey holds the table behind it; that of numberKey which of the views that are used again
/// it is or, less 1 and below zero, how deep in the object the table lies. In the registry, the others hold the three metatables
/// and the journal: an array with table, key, old value and, where the new value is a table that was in the object already,
/// its address, per write.
static char originalKey, numberKey, readonlyKey, trackedKey, frozenKey, journalKey;

/// In the registry: the script's tables that became views in the call under way.
static char turnedKey;

/// In the registry: the views that are used again, read-only ones and tracked ones.
static char viewsKeys[2];

enum { JOURNAL_FIELDS = 4, JOURNAL_WRITES_MAX = 1 << 22, JOURNAL_WRITES_KEPT = 16, TABLES_KEPT = 64, VIEWS_KEPT = CLUA_VIEWS_KEPT };

// MARK: Making and recognising views

static void make_view(lua_State *L, int index, const char *kind, int number) {
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, index);
    lua_rawsetp(L, -2, &originalKey);
    lua_pushinteger(L, number);
    lua_rawsetp(L, -2, &numberKey);
    lua_rawgetp(L, LUA_REGISTRYINDEX, kind);
    lua_setmetatable(L, -2);
}

/// A call's first views are those of the call before, turned to other tables: nothing is allocated for most calls. A
/// script that kept one from an earlier call sees through it what this call looks at, with the same rights.
static void push_view(lua_State *L, int index, const char *kind, int depth) {
    clua_control *control = clua_control_of(L);
    index = lua_absindex(L, index);
    int which = kind == &trackedKey;
    int taken = control->viewsTaken[which];
    if (taken >= VIEWS_KEPT) {
        make_view(L, index, kind, -1 - depth);
        return;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &viewsKeys[which]);
    if (lua_rawgeti(L, -1, taken + 1) == LUA_TTABLE) {
        lua_pushvalue(L, index);
        lua_rawsetp(L, -2, &originalKey);
    } else {
        lua_pop(L, 1);
        make_view(L, index, kind, taken);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, taken + 1);
    }
    control->viewsTaken[which] = taken + 1;
    if (taken >= control->viewsHeld[which]) control->viewsHeld[which] = taken + 1;
    // An object may be deeper that was made before there was a limit.
    if (which) control->viewDepths[taken] = (uint8_t)(depth > UINT8_MAX ? UINT8_MAX : depth);
    lua_remove(L, -2);
}

/// How deep the table behind a tracked view lies.
static int depth_of(lua_State *L, int view) {
    lua_rawgetp(L, view, &numberKey);
    int number = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return number < 0 ? -1 - number : clua_control_of(L)->viewDepths[number];
}

void clua_views_release(lua_State *L) {
    clua_control *control = clua_control_of(L);
    if (control->depth > 0) return;
    for (int which = 0; which < 2; which += 1) {
        if (control->viewsHeld[which] == 0) continue;
        lua_rawgetp(L, LUA_REGISTRYINDEX, &viewsKeys[which]);
        for (int at = 1; at <= control->viewsHeld[which]; at += 1) {
            if (lua_rawgeti(L, -1, at) == LUA_TTABLE) {
                // A script may have kept the view: there has to be a table behind it.
                lua_createtable(L, 0, 0);
                lua_rawsetp(L, -2, &originalKey);
            }
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
        control->viewsHeld[which] = 0;
    }
}

void clua_views_begin(clua_control *control) { control->viewsTaken[0] = control->viewsTaken[1] = 0; }

void clua_push_view(lua_State *L, int index) { push_view(L, index, &readonlyKey, 0); }
void clua_push_tracked(lua_State *L, int index) { push_view(L, index, &trackedKey, 0); }

static const char *const kindKeys[] = {&readonlyKey, &trackedKey, &frozenKey};

clua_view_kind clua_kind_of_view(lua_State *L, int index) {
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return CLUA_PLAIN_TABLE;
    const void *metatable = lua_topointer(L, -1);
    lua_pop(L, 1);
    const clua_control *control = clua_control_of(L);
    for (int kind = CLUA_READONLY_VIEW; kind <= CLUA_FROZEN_VIEW; kind += 1)
        if (metatable == control->viewMetatables[kind - 1]) return kind;
    return CLUA_PLAIN_TABLE;
}

/// Which kind of view is at an absolute index: the address of its key, or NULL.
static const char *kind_of(lua_State *L, int index) {
    clua_view_kind kind = clua_kind_of_view(L, index);
    return kind == CLUA_PLAIN_TABLE ? NULL : kindKeys[kind - 1];
}

static const char *push_original(lua_State *L, int index) {
    index = lua_absindex(L, index);
    const char *kind = kind_of(L, index);
    if (kind != NULL) lua_rawgetp(L, index, &originalKey);
    return kind;
}

bool clua_push_original(lua_State *L, int index) { return push_original(L, index) != NULL; }

/// Puts a view of the same kind in the place of a table on top, which is at that depth.
static void view_top(lua_State *L, const char *kind, int depth) {
    // What is in a frozen table is frozen itself.
    if (kind == NULL || kind == &frozenKey || !lua_istable(L, -1)) return;
    push_view(L, -1, kind, depth);
    lua_remove(L, -2);
}

/// The same for what comes out of the view at `view`.
static void view_inner(lua_State *L, const char *kind, int view) {
    if (lua_istable(L, -1)) view_top(L, kind, kind == &trackedKey ? depth_of(L, view) + 1 : 0);
}

// MARK: Reading through a view

static int read_through(lua_State *L, const char *kind) {
    lua_settop(L, 2);
    lua_rawgetp(L, 1, &originalKey);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, 3) == LUA_TNIL && luaL_getmetafield(L, 3, "__index") == LUA_TTABLE) {
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);  // a method
        return 1;
    }
    lua_settop(L, 4);
    view_inner(L, kind, 1);
    return 1;
}

static int readonly_index(lua_State *L) { return read_through(L, &readonlyKey); }
static int tracked_index(lua_State *L) { return read_through(L, &trackedKey); }

/// What is in a frozen table is frozen itself, and may have a metatable.
static int frozen_index(lua_State *L) {
    lua_settop(L, 2);
    lua_rawgetp(L, 1, &originalKey);
    lua_pushvalue(L, 2);
    lua_gettable(L, 3);
    return 1;
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

int clua_next(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    const char *kind = push_original(L, 1);
    int depth = kind == &trackedKey ? depth_of(L, 1) + 1 : 0;
    if (kind != NULL) lua_replace(L, 1);
    // Between two entries of a large table there may be millions of empty places.
    if (clua_control_of(L)->largeBlocks > 0) clua_look(L);
    if (!lua_next(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    view_top(L, kind, depth);
    return 2;
}

static int pairs_called(lua_State *L, int status, lua_KContext context) {
    (void)L;
    (void)status;
    (void)context;
    return 3;
}

int clua_pairs(lua_State *L) {
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_callk(L, 1, 3, 0, pairs_called);
        return 3;
    }
    lua_pushcfunction(L, clua_next);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
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
    const char *kind = push_original(L, 1);
    int depth = kind == &trackedKey ? depth_of(L, 1) + 1 : 0;
    if (kind != NULL) lua_replace(L, 1);
    lua_rawget(L, 1);
    view_top(L, kind, depth);
    return 1;
}

int clua_rawlen(lua_State *L) {
    luaL_argexpected(L, lua_istable(L, 1) || lua_type(L, 1) == LUA_TSTRING, 1, "table or string");
    if (clua_push_original(L, 1)) lua_replace(L, 1);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
    return 1;
}

// MARK: Writing through a view

static int readonly_newindex(lua_State *L) {
    return luaL_error(L, "this data is read-only here (a readonly method, or another object)");
}

static int frozen_newindex(lua_State *L) {
    return luaL_error(L, "a table of the type's file can't be written by a method: no state but an object's (self) is kept");
}

static void check_key(lua_State *L, int index) {
    switch (lua_type(L, index)) {
        case LUA_TNUMBER:
            if (lua_tonumber(L, index) != lua_tonumber(L, index)) luaL_error(L, "a key may not be NaN");
            return;
        case LUA_TSTRING: case LUA_TBOOLEAN: return;
        default: luaL_error(L, "an object holds plain data, no %s as key", luaL_typename(L, index));
    }
}

static void set_field(lua_State *L, int journal, lua_Integer entry, int field) {
    lua_rawseti(L, journal, entry * JOURNAL_FIELDS + field);
}

/// A table of the object goes into one that lies that deep.
static void note_move(clua_control *control, int depth) {
    control->journalMoves += 1;
    if (depth > control->journalDepth) control->journalDepth = depth;
}

/// Makes the value at 3, which is to stand at the key at 2 of the view at 1, one that an object may hold. Returns the table that it is when
/// that was in the object already.
static const void *take_value(lua_State *L) {
    switch (lua_type(L, 3)) {
        case LUA_TNIL: case LUA_TBOOLEAN: case LUA_TNUMBER: case LUA_TSTRING: return NULL;
        case LUA_TTABLE: break;
        default: {
            const char *key = luaL_tolstring(L, 2, NULL);
            luaL_error(L, "'%s' is a %s: an object holds plain data, no %s", key, luaL_typename(L, 3), luaL_typename(L, 3));
        }
    }
    clua_control *control = clua_control_of(L);
    switch (clua_kind_of_view(L, 3)) {
        case CLUA_READONLY_VIEW: {
            const char *key = luaL_tolstring(L, 2, NULL);
            luaL_error(L, "'%s' is a part of another object: store copy(…) of it", key);
        }
        // fallthrough
        case CLUA_TRACKED_VIEW:
            lua_rawgetp(L, 3, &originalKey);
            lua_replace(L, 3);
            note_move(control, depth_of(L, 1));
            return lua_topointer(L, 3);
        default:
            clua_copy_to_store(L, 2, depth_of(L, 1));
            return NULL;
    }
}

/// Notes that the value at `key` of the table at `table` will be another: a table at the address `moved`, if there is one.
static void note_write(lua_State *L, int table, int key, const void *moved) {
    clua_control *control = clua_control_of(L);
    if (control->journalWrites >= JOURNAL_WRITES_MAX) clua_abort(L, CLUA_ABORTED_WRITES);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &journalKey);
    int journal = lua_gettop(L);
    lua_Integer entry = control->journalWrites;
    lua_pushvalue(L, table);
    set_field(L, journal, entry, 1);
    lua_pushvalue(L, key);
    set_field(L, journal, entry, 2);
    lua_pushvalue(L, key);
    lua_rawget(L, table);
    set_field(L, journal, entry, 3);
    if (moved == NULL) lua_pushboolean(L, 0);
    else lua_pushlightuserdata(L, (void *)moved);
    set_field(L, journal, entry, 4);
    control->journalWrites = entry + 1;
    lua_settop(L, journal - 1);
}

void clua_journal_move(lua_State *L, int target, int key, int depth) {
    note_move(clua_control_of(L), depth);
    note_write(L, target, key, lua_topointer(L, -1));
}

/// `view[key] = value`: the old value goes into the journal first, so that memory may end at any point. Data of the object
/// itself moves; a table of the script is copied, and from then on is a view of what the object holds.
static int tracked_newindex(lua_State *L) {
    lua_settop(L, 3);
    if (!clua_control_of(L)->isJournaling) return luaL_error(L, "this data belongs to an earlier call");
    check_key(L, 2);
    const void *moved = take_value(L);
    lua_rawgetp(L, 1, &originalKey);
    note_write(L, 4, 2, moved);
    lua_insert(L, 1);  // original, view, key, value
    lua_rawset(L, 1);
    return 0;
}

void clua_turn_into_view(lua_State *L, int table, int original, int depth) {
    for (lua_pushnil(L); lua_next(L, table);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, table);
    }
    lua_pushvalue(L, original);
    lua_rawsetp(L, table, &originalKey);
    lua_pushinteger(L, -1 - depth);
    lua_rawsetp(L, table, &numberKey);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &trackedKey);
    lua_setmetatable(L, table);
    clua_control *control = clua_control_of(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &turnedKey);
    lua_pushvalue(L, table);
    lua_rawseti(L, -2, control->journalTables + 1);
    control->journalTables += 1;
    lua_pop(L, 1);
}

int clua_rawset(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (kind_of(L, 1) == &trackedKey) {
        tracked_newindex(L);
        return 0;
    }
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected table");
    lua_rawset(L, 1);
    return 1;
}

void clua_freeze_view(lua_State *L, int table, int original, int metatable) {
    for (lua_pushnil(L); lua_next(L, table);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, table);
    }
    if (metatable == 0) {
        lua_pushvalue(L, original);
        lua_rawsetp(L, table, &originalKey);
        lua_rawgetp(L, LUA_REGISTRYINDEX, &frozenKey);
        lua_setmetatable(L, table);
        return;
    }
    // One of its own, so that it can still be called, compared and so on.
    lua_pushvalue(L, metatable);
    lua_setmetatable(L, original);
    lua_newtable(L);
    int own = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, metatable);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, own);
    }
    lua_pushvalue(L, original);
    lua_setfield(L, own, "__index");
    lua_pushcfunction(L, frozen_newindex);
    lua_setfield(L, own, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, own, "__metatable");
    lua_setmetatable(L, table);
    lua_settop(L, own - 1);
}

void clua_use_frozen(lua_State *L, int index) {
    if (clua_kind_of_view(L, index) != CLUA_FROZEN_VIEW) return;
    lua_rawgetp(L, index, &originalKey);
    lua_pushliteral(L, "__metatable");
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pushliteral(L, "__metatable");
        lua_pushvalue(L, index);
        lua_rawset(L, -4);
    }
    lua_pop(L, 1);
    lua_replace(L, index);
}

// MARK: The journal

void clua_journal_begin(lua_State *L, int object) {
    clua_control *control = clua_control_of(L);
    control->journalWrites = 0;
    control->journalMoves = 0;
    control->journalObject = object;
    control->journalTables = 0;
    control->journalDepth = 0;
    control->isJournaling = true;
}

/// What a script still has of the tables that it stored shows nothing from now on.
static void let_turned_go(lua_State *L, clua_control *control) {
    lua_newtable(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &turnedKey);
    for (int at = 1; at <= control->journalTables; at += 1) {
        if (lua_rawgeti(L, -1, at) == LUA_TTABLE) {
            lua_pushvalue(L, -3);
            lua_rawsetp(L, -2, &originalKey);
        }
        lua_pop(L, 1);
        lua_pushnil(L);
        lua_rawseti(L, -2, at);
    }
    lua_pop(L, 2);
    if (control->journalTables > TABLES_KEPT) {
        lua_newtable(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &turnedKey);
    }
    control->journalTables = 0;
}

static void end_journal(lua_State *L) {
    clua_control *control = clua_control_of(L);
    int64_t writes = control->journalWrites;
    control->isJournaling = false;
    control->journalWrites = 0;
    if (control->journalTables > 0) let_turned_go(L, control);
    if (writes == 0) return;
    if (writes > JOURNAL_WRITES_KEPT) {
        lua_newtable(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &journalKey);
        return;
    }
    // A small one is used again; it must not keep alive what the object has let go of.
    lua_rawgetp(L, LUA_REGISTRYINDEX, &journalKey);
    for (lua_Integer entry = 0; entry < writes; entry += 1) {
        for (int field = 1; field <= 3; field += 1) {
            lua_pushboolean(L, 0);
            set_field(L, -2, entry, field);
        }
    }
    lua_pop(L, 1);
}

void clua_journal_undo(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &journalKey);
    for (lua_Integer entry = clua_control_of(L)->journalWrites - 1; entry >= 0; entry -= 1) {
        // Each push moves the journal one further down; in the end the stack holds journal, table, key, old value.
        for (int field = 1; field <= 3; field += 1) lua_rawgeti(L, -field, entry * JOURNAL_FIELDS + field);
        lua_rawset(L, -3);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    end_journal(L);
}

/// Adds to the count of a table, by its address, in the table at 2; returns the new count.
static lua_Integer count(lua_State *L, const void *table, lua_Integer change) {
    lua_rawgetp(L, 2, table);
    lua_Integer sum = lua_tointeger(L, -1) + change;
    lua_pushinteger(L, sum);
    lua_rawsetp(L, 2, table);
    lua_pop(L, 1);
    return sum;
}

/// Whether a table may be in the object twice, or too deep in it, by what was written. Each was in one place when the call
/// began, and each write says where one has gone from, and where one has gone to.
static bool is_suspicious(lua_State *L) {
    clua_control *control = clua_control_of(L);
    lua_settop(L, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &journalKey);
    lua_newtable(L);  // 2: how often each table was put somewhere, less how often it was taken away
    lua_newtable(L);  // 3: in which table it was before
    for (lua_Integer entry = 0; entry < control->journalWrites; entry += 1) {
        clua_charge(L, 4);
        if (lua_rawgeti(L, 1, entry * JOURNAL_FIELDS + 3) == LUA_TTABLE) {
            const void *old = lua_topointer(L, -1);
            count(L, old, -1);
            lua_rawgeti(L, 1, entry * JOURNAL_FIELDS + 1);
            lua_rawsetp(L, 3, old);
        }
        if (lua_rawgeti(L, 1, entry * JOURNAL_FIELDS + 4) == LUA_TLIGHTUSERDATA) count(L, lua_touserdata(L, -1), 1);
        lua_settop(L, 3);
    }
    for (lua_Integer entry = 0; entry < control->journalWrites; entry += 1) {
        if (lua_rawgeti(L, 1, entry * JOURNAL_FIELDS + 4) == LUA_TLIGHTUSERDATA) {
            const void *moved = lua_touserdata(L, -1);
            if (count(L, moved, 0) > 0) return true;
            lua_rawgetp(L, 3, moved);
            lua_rawgeti(L, 1, entry * JOURNAL_FIELDS + 1);
            bool isElsewhere = !lua_rawequal(L, -1, -2);
            lua_rawgeti(L, 1, entry * JOURNAL_FIELDS + 2);
            // What is there now may be something else, which another write put there. Nothing gets deeper in the object itself.
            int depth = control->journalDepth;
            if (isElsewhere && depth > 0 && lua_rawget(L, -2) == LUA_TTABLE && clua_height(L, depth + 1) > CLUA_DEPTH_MAX)
                return true;
        }
        lua_settop(L, 3);
    }
    return false;
}

/// Raises where the object would hold a table twice, or itself, or be nested too deep.
static int check_protected(lua_State *L) {
    if (!is_suspicious(L)) return 0;
    lua_settop(L, 0);
    if (lua_rawgeti(L, LUA_REGISTRYINDEX, clua_control_of(L)->journalObject) == LUA_TTABLE) clua_check_object(L, 1);
    return 0;
}

int clua_journal_commit(lua_State *L) {
    clua_control *control = clua_control_of(L);
    if (control->journalMoves > 0) {
        lua_pushcfunction(L, check_protected);
        int status = clua_pcall(L, 0, 0);
        if (status != LUA_OK) return status;
    }
    end_journal(L);
    return LUA_OK;
}

// MARK: Opening

static void open_kind(lua_State *L, const char *kind, lua_CFunction index, lua_CFunction newindex) {
    static const luaL_Reg common[] = {{"__len", view_len}, {"__pairs", view_pairs}, {"__eq", view_eq}, {NULL, NULL}};
    luaL_newlib(L, common);
    lua_pushcfunction(L, index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    for (int at = 0; at < 3; at += 1)
        if (kindKeys[at] == kind) clua_control_of(L)->viewMetatables[at] = lua_topointer(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, kind);
}

void clua_open_views(lua_State *L) {
    open_kind(L, &readonlyKey, readonly_index, readonly_newindex);
    open_kind(L, &trackedKey, tracked_index, tracked_newindex);
    open_kind(L, &frozenKey, frozen_index, frozen_newindex);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &turnedKey);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &journalKey);
    for (int which = 0; which < 2; which += 1) {
        lua_newtable(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &viewsKeys[which]);
    }
}

// MARK: For states with objects

/// As Lua's, but it goes on when the table becomes a view on the way.
static int object_pairs(lua_State *L) {
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 3);
        return 3;
    }
    return view_pairs(L);
}

void clua_open_objects(lua_State *L) {
    clua_push_globals(L);
    lua_pushcfunction(L, object_pairs);
    lua_setfield(L, -2, "pairs");
    lua_pop(L, 1);
}
