// `tonumber`, and what of `math` and `os` is not the library's own: random numbers that nobody can foresee or set,
// arguments that are bounded in number and length.
#include "CLua.h"

#include <ctype.h>
#include <sys/random.h>

enum { DATE_FORMAT_BYTES_MAX = 1024 };

// MARK: tonumber

static int digit_of(int character) {
    if (isdigit(character)) return character - '0';
    return isalpha(character) ? toupper(character) - 'A' + 10 : 99;
}

static bool push_in_base(lua_State *L, const char *at, const char *end, int base) {
    while (at < end && isspace((unsigned char)*at)) at += 1;
    while (end > at && isspace((unsigned char)end[-1])) end -= 1;
    bool isNegative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at += 1;
    if (at == end) return false;
    lua_Unsigned number = 0;
    for (; at < end; at += 1) {
        int digit = digit_of((unsigned char)*at);
        if (digit >= base) return false;
        number = number * (lua_Unsigned)base + (lua_Unsigned)digit;
    }
    lua_pushinteger(L, (lua_Integer)(isNegative ? 0u - number : number));
    return true;
}

int clua_tonumber(lua_State *L) {
    bool found;
    if (lua_isnoneornil(L, 2)) {
        found = clua_push_number(L, 1);
        if (!found) luaL_checkany(L, 1);
    } else {
        lua_Integer base = clua_check_integer(L, 2);
        luaL_checktype(L, 1, LUA_TSTRING);
        luaL_argcheck(L, base >= 2 && base <= 36, 2, "base out of range");
        size_t bytes;
        const char *text = lua_tolstring(L, 1, &bytes);
        lua_settop(L, 2);
        found = bytes <= CLUA_NUMERAL_BYTES_MAX && push_in_base(L, text, text + bytes, (int)base);
    }
    if (!found) lua_pushnil(L);
    return 1;
}

// MARK: math

/// The greatest, or least, argument; a text counts as its number.
static int extreme(lua_State *L, bool isGreatest) {
    int count = lua_gettop(L), best = 1;
    luaL_argcheck(L, count >= 1, 1, "value expected");
    if (count > 64) clua_charge(L, count);
    for (int at = 1; at <= count; at += 1) {
        if (lua_type(L, at) != LUA_TNUMBER) {
            if (!clua_push_number(L, at)) return luaL_typeerror(L, at, "number");
            lua_replace(L, at);
        }
        if (at == 1) continue;
        if (isGreatest ? lua_compare(L, best, at, LUA_OPLT) : lua_compare(L, at, best, LUA_OPLT)) best = at;
    }
    lua_pushvalue(L, best);
    return 1;
}

static int math_max(lua_State *L) { return extreme(L, true); }
static int math_min(lua_State *L) { return extreme(L, false); }

/// Calls the original in upvalue 1 with the arguments as they are.
static int call_original(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/// The same, for what is another each time.
static int call_changing(lua_State *L) {
    clua_control_of(L)->readsMore = true;
    return call_original(L);
}

/// Scripts share the sequence, so that none may set it: what one sets another would get.
static int math_randomseed(lua_State *L) {
    (void)L;
    return 0;
}

/// The library seeds from an address and the time.
static void seed(lua_State *L) {
    lua_Integer seeds[2];
    if (getrandom(seeds, sizeof seeds, 0) != (ssize_t)sizeof seeds) seeds[0] = seeds[1] = (lua_Integer)clua_now();
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, seeds[0]);
    lua_pushinteger(L, seeds[1]);
    lua_call(L, 2, 0);
}

// MARK: os

static int os_date(lua_State *L) {
    size_t bytes = 0;
    luaL_optlstring(L, 1, "", &bytes);
    luaL_argcheck(L, bytes <= DATE_FORMAT_BYTES_MAX, 1, "format has more than 1024 bytes");
    clua_charge(L, 16 + (int64_t)bytes * 4);
    clua_opt_integer(L, 2, 0);
    return lua_isnoneornil(L, 2) ? call_changing(L) : call_original(L);
}

static int os_time(lua_State *L) {
    if (lua_isnoneornil(L, 1)) return call_changing(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    static const char *const fields[] = {"year", "month", "day", "hour", "min", "sec", "isdst", NULL};
    lua_settop(L, 1);
    lua_createtable(L, 0, 8);
    for (int at = 0; fields[at] != NULL; at += 1) {
        if (lua_getfield(L, 1, fields[at]) == LUA_TSTRING && lua_rawlen(L, -1) > CLUA_NUMERAL_BYTES_MAX)
            return luaL_error(L, "field '%s' is not an integer", fields[at]);
        lua_setfield(L, 2, fields[at]);
    }
    clua_charge(L, 64);
    lua_remove(L, 1);
    return call_original(L);
}

// MARK: Opening

static void guard(lua_State *L, const char *name, lua_CFunction function) {
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
}

void clua_open_os(lua_State *L) {
    guard(L, "clock", call_changing);
    guard(L, "date", os_date);
    guard(L, "time", os_time);
}

void clua_open_math(lua_State *L) {
    static const luaL_Reg functions[] = {{"max", math_max}, {"min", math_min}, {"randomseed", math_randomseed},
        {NULL, NULL}};
    seed(L);
    luaL_setfuncs(L, functions, 0);
    guard(L, "random", call_changing);
}
