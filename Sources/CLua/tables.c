// The functions of `table` but sort. They charge as they go, and use raw access to tables without a metatable: whatever
// a metamethod answers the second time it is asked, no loop is longer than what was charged for it.
#include "CLua.h"

#include <limits.h>

enum { ELEMENTS_A_CHARGE = 64 };

/// Charges for the elements of a loop, some at a time.
static inline void step(lua_State *L, uint32_t *steps) {
    *steps += 1;
    if (*steps % ELEMENTS_A_CHARGE == 0) clua_charge(L, ELEMENTS_A_CHARGE);
}

/// Unless it's a table, it has to behave like one.
static void check_table(lua_State *L, int index) {
    if (lua_istable(L, index)) return;
    bool behaves = luaL_getmetafield(L, index, "__index") != LUA_TNIL;
    if (behaves) lua_pop(L, 1);
    if (!behaves) luaL_checktype(L, index, LUA_TTABLE);
}

static bool is_raw(lua_State *L, int index) {
    if (!lua_istable(L, index)) return false;
    if (!lua_getmetatable(L, index)) return true;
    lua_pop(L, 1);
    return false;
}

static inline void get(lua_State *L, int table, lua_Integer key, bool isRaw) {
    if (isRaw) lua_rawgeti(L, table, key);
    else lua_geti(L, table, key);
}

static inline void set(lua_State *L, int table, lua_Integer key, bool isRaw) {
    if (isRaw) lua_rawseti(L, table, key);
    else lua_seti(L, table, key);
}

static lua_Integer length(lua_State *L, int table, bool isRaw) {
    return isRaw ? (lua_Integer)lua_rawlen(L, table) : luaL_len(L, table);
}

// MARK: insert and remove

static int table_insert(lua_State *L) {
    check_table(L, 1);
    bool isRaw = is_raw(L, 1);
    uint32_t steps = 0;
    lua_Integer end = (lua_Integer)((lua_Unsigned)length(L, 1, isRaw) + 1);
    switch (lua_gettop(L)) {
        case 2:
            set(L, 1, end, isRaw);
            return 0;
        case 3: {
            lua_Integer place = clua_check_integer(L, 2);
            luaL_argcheck(L, (lua_Unsigned)place - 1u < (lua_Unsigned)end, 2, "position out of bounds");
            for (lua_Integer at = end; at > place; at -= 1) {
                step(L, &steps);
                get(L, 1, at - 1, isRaw);
                set(L, 1, at, isRaw);
            }
            set(L, 1, place, isRaw);
            return 0;
        }
        default: return luaL_error(L, "wrong number of arguments to 'insert'");
    }
}

static int table_remove(lua_State *L) {
    check_table(L, 1);
    bool isRaw = is_raw(L, 1);
    uint32_t steps = 0;
    lua_Integer size = length(L, 1, isRaw);
    lua_Integer place = lua_isnone(L, 2) ? size : clua_opt_integer(L, 2, size);
    if (!lua_isnone(L, 2))
        luaL_argcheck(L, place == size || (lua_Unsigned)place - 1u <= (lua_Unsigned)size, 2, "position out of bounds");
    get(L, 1, place, isRaw);
    for (; place < size; place += 1) {
        step(L, &steps);
        get(L, 1, place + 1, isRaw);
        set(L, 1, place, isRaw);
    }
    lua_pushnil(L);
    set(L, 1, place, isRaw);
    return 1;
}

// MARK: move

static int table_move(lua_State *L) {
    lua_Integer from = clua_check_integer(L, 2), last = clua_check_integer(L, 3), to = clua_check_integer(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    check_table(L, 1);
    check_table(L, target);
    if (last >= from) {
        luaL_argcheck(L, from > 0 || last < LUA_MAXINTEGER + from, 3, "too many elements to move");
        lua_Integer count = last - from + 1;
        luaL_argcheck(L, to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
        bool isRaw = is_raw(L, 1), isTargetRaw = is_raw(L, target);
        uint32_t steps = 0;
        // Upwards within one table the last one has to go first.
        bool isUpwards = to > last || to <= from || (target != 1 && !lua_compare(L, 1, target, LUA_OPEQ));
        for (lua_Integer at = 0; at < count; at += 1) {
            step(L, &steps);
            lua_Integer offset = isUpwards ? at : count - 1 - at;
            get(L, 1, from + offset, isRaw);
            set(L, target, to + offset, isTargetRaw);
        }
    }
    lua_pushvalue(L, target);
    return 1;
}

// MARK: concat, pack and unpack

static int table_concat(lua_State *L) {
    check_table(L, 1);
    bool isRaw = is_raw(L, 1);
    size_t separatorBytes, total = 0;
    uint32_t steps = 0;
    const char *separator = luaL_optlstring(L, 2, "", &separatorBytes);
    lua_Integer from = clua_opt_integer(L, 3, 1);
    lua_Integer last = lua_isnoneornil(L, 4) ? length(L, 1, isRaw) : clua_check_integer(L, 4);
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (lua_Integer at = from; at <= last; at += 1) {
        step(L, &steps);
        get(L, 1, at, isRaw);
        if (!lua_isstring(L, -1))
            return luaL_error(L, "invalid value (at index %I) in table for 'concat'", (LUAI_UACINT)at);
        size_t bytes;
        lua_tolstring(L, -1, &bytes);
        total += bytes + separatorBytes;
        clua_check_text_bytes(L, total);
        if (bytes >= 4096) clua_charge_bytes(L, bytes);
        luaL_addvalue(&out);
        if (at == last) break;  // it may be the last integer
        luaL_addlstring(&out, separator, separatorBytes);
    }
    luaL_pushresult(&out);
    return 1;
}

static int table_pack(lua_State *L) {
    int count = lua_gettop(L);
    lua_createtable(L, count, 1);
    lua_insert(L, 1);
    for (int at = count; at >= 1; at -= 1) lua_rawseti(L, 1, at);
    lua_pushinteger(L, count);
    lua_setfield(L, 1, "n");
    return 1;
}

static int table_unpack(lua_State *L) {
    bool isRaw = is_raw(L, 1);
    lua_Integer from = clua_opt_integer(L, 2, 1);
    lua_Integer last = lua_isnoneornil(L, 3) ? length(L, 1, isRaw) : clua_check_integer(L, 3);
    if (from > last) return 0;
    lua_Unsigned count = (lua_Unsigned)last - (lua_Unsigned)from;
    clua_charge(L, count >= INT64_MAX ? INT64_MAX : (int64_t)count + 1);
    if (count >= (unsigned int)INT_MAX || !lua_checkstack(L, (int)count + 1))
        return luaL_error(L, "too many results to unpack");
    for (lua_Unsigned at = 0; at <= count; at += 1) get(L, 1, (lua_Integer)((lua_Unsigned)from + at), isRaw);
    return (int)count + 1;
}

void clua_open_tables(lua_State *L) {
    static const luaL_Reg functions[] = {{"concat", table_concat}, {"insert", table_insert}, {"move", table_move},
        {"pack", table_pack}, {"remove", table_remove}, {"sort", clua_sort}, {"unpack", table_unpack}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
