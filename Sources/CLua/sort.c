// `table.sort`: a merge sort of positions, so that equal elements keep their order, and a comparison that answers
// anything at all costs no more comparisons than one that makes sense.
#include "CLua.h"

#include <string.h>

enum { ELEMENTS_MAX = 1 << 26, RUN_ELEMENTS = 8, COMPARISONS_A_CHARGE = 64 };
/// Stack: the table, the comparison or nil, the elements, the positions.
enum { TABLE = 1, COMPARISON = 2, ELEMENTS = 3, POSITIONS = 4 };

typedef struct {
    lua_State *L;
    bool hasComparison;
    uint32_t comparisons;
} order;

/// Whether the element at position `b` has to come before that at `a`.
static bool is_inverted(order *my, int32_t a, int32_t b) {
    lua_State *L = my->L;
    my->comparisons += 1;
    if (my->comparisons % COMPARISONS_A_CHARGE == 0) clua_charge(L, COMPARISONS_A_CHARGE);
    if (my->hasComparison) lua_pushvalue(L, COMPARISON);
    lua_rawgeti(L, ELEMENTS, b);
    lua_rawgeti(L, ELEMENTS, a);
    bool isLess;
    if (my->hasComparison) {
        lua_call(L, 2, 1);
        isLess = lua_toboolean(L, -1);
    } else {
        isLess = lua_compare(L, -2, -1, LUA_OPLT);
    }
    lua_settop(L, POSITIONS);
    return isLess;
}

static void insert_in_order(order *my, int32_t *at, int32_t count) {
    for (int32_t next = 1; next < count; next += 1) {
        int32_t moving = at[next], place = next;
        for (; place > 0 && is_inverted(my, at[place - 1], moving); place -= 1) at[place] = at[place - 1];
        at[place] = moving;
    }
}

static void merge(order *my, const int32_t *from, int32_t middle, int32_t count, int32_t *to) {
    // Already in order: what sorting the sorted costs.
    if (middle >= count || !is_inverted(my, from[middle - 1], from[middle])) {
        memcpy(to, from, (size_t)count * sizeof *to);
        return;
    }
    int32_t left = 0, right = middle;
    for (int32_t place = 0; place < count; place += 1) {
        bool takesRight = left >= middle || (right < count && is_inverted(my, from[left], from[right]));
        to[place] = takesRight ? from[right++] : from[left++];
    }
}

/// The positions in order; in either half of the room for twice as many.
static int32_t *sorted(order *my, int32_t *positions, int32_t count) {
    for (int32_t start = 0; start < count; start += RUN_ELEMENTS)
        insert_in_order(my, positions + start, count - start < RUN_ELEMENTS ? count - start : RUN_ELEMENTS);
    int32_t *from = positions, *to = positions + count;
    for (int64_t width = RUN_ELEMENTS; width < count; width *= 2) {
        for (int64_t start = 0; start < count; start += 2 * width) {
            int64_t here = count - start < 2 * width ? count - start : 2 * width;
            merge(my, from + start, (int32_t)(here < width ? here : width), (int32_t)here, to + start);
        }
        int32_t *swapped = from;
        from = to;
        to = swapped;
    }
    return from;
}

int clua_sort(lua_State *L) {
    lua_settop(L, 2);
    bool isRaw = lua_istable(L, TABLE) && !lua_getmetatable(L, TABLE);
    lua_settop(L, 2);
    bool isTable = lua_istable(L, TABLE) || luaL_getmetafield(L, TABLE, "__index") != LUA_TNIL;
    if (!isTable) luaL_checktype(L, TABLE, LUA_TTABLE);
    lua_settop(L, 2);
    lua_Integer count = isRaw ? (lua_Integer)lua_rawlen(L, TABLE) : luaL_len(L, TABLE);
    if (count < 2) return 0;
    if (count >= ELEMENTS_MAX) clua_abort(L, CLUA_ABORTED_INSTRUCTIONS);
    if (!lua_isnil(L, COMPARISON)) luaL_checktype(L, COMPARISON, LUA_TFUNCTION);
    clua_charge(L, count * 2);
    // Only what is there is given room: the length may be anything that a metamethod answers.
    lua_newtable(L);
    for (lua_Integer at = 1; at <= count; at += 1) {
        if (at % 1024 == 0) clua_look(L);
        if (isRaw) lua_rawgeti(L, TABLE, at);
        else lua_geti(L, TABLE, at);
        lua_rawseti(L, ELEMENTS, at);
    }
    int32_t *positions = lua_newuserdatauv(L, (size_t)count * 2 * sizeof *positions, 0);
    for (lua_Integer at = 0; at < count; at += 1) positions[at] = (int32_t)at + 1;
    order my = {L, !lua_isnil(L, COMPARISON), 0};
    int32_t *result = sorted(&my, positions, (int32_t)count);
    for (lua_Integer at = 1; at <= count; at += 1) {
        if (at % 1024 == 0) clua_look(L);
        lua_rawgeti(L, ELEMENTS, result[at - 1]);
        if (isRaw) lua_rawseti(L, TABLE, at);
        else lua_seti(L, TABLE, at);
    }
    return 0;
}
