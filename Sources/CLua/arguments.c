// The arguments of methods as numbers and texts: which texts are numbers, and what is said of those that are none.
#include "CLua.h"

#include <stdio.h>
#include <string.h>

/// Longer ones are no numbers: nobody writes them, and reading them takes long.
enum { NUMBER_BYTES_MAX = 400, SHOWN_BYTES_MAX = 40 };

typedef enum { NO_NUMBER, IS_NUMBER, TOO_LARGE } verdict;

static bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

static size_t skip_digits(const char *text, size_t bytes, size_t at) {
    while (at < bytes && is_digit(text[at])) at += 1;
    return at;
}

/// Digits, with a minus or without: no blanks, no plus, nothing hexadecimal, no fraction.
static verdict read_whole(const char *text, size_t bytes, lua_Integer *number) {
    size_t at = bytes > 0 && text[0] == '-' ? 1 : 0;
    bool isNegative = at == 1;
    if (at == bytes || bytes > NUMBER_BYTES_MAX || skip_digits(text, bytes, at) != bytes) return NO_NUMBER;
    uint64_t value = 0, limit = isNegative ? (uint64_t)1 << 63 : INT64_MAX;
    for (; at < bytes; at += 1) {
        uint64_t digit = (uint64_t)(text[at] - '0');
        if (value > (limit - digit) / 10) return TOO_LARGE;
        value = value * 10 + digit;
    }
    *number = (lua_Integer)(isNegative ? 0 - value : value);
    return IS_NUMBER;
}

/// A whole number, perhaps with a fraction, perhaps with an exponent: `-1.5e-3`.
static bool is_decimal(const char *text, size_t bytes) {
    if (bytes > NUMBER_BYTES_MAX) return false;
    size_t at = bytes > 0 && text[0] == '-' ? 1 : 0;
    size_t end = skip_digits(text, bytes, at);
    if (end == at) return false;
    if (end < bytes && text[end] == '.') {
        at = end + 1;
        end = skip_digits(text, bytes, at);
        if (end == at) return false;
    }
    if (end < bytes && (text[end] == 'e' || text[end] == 'E')) {
        at = end + 1;
        if (at < bytes && (text[at] == '-' || text[at] == '+')) at += 1;
        end = skip_digits(text, bytes, at);
        if (end == at) return false;
    }
    return end == bytes;
}

/// Pushes the finite number that the value at `index` is.
static verdict push_number(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TNUMBER) {
        lua_Number number = lua_tonumber(L, index);
        if (number - number != 0) return NO_NUMBER;
        lua_pushvalue(L, index);
        return IS_NUMBER;
    }
    if (lua_type(L, index) != LUA_TSTRING) return NO_NUMBER;
    size_t bytes = 0;
    const char *text = lua_tolstring(L, index, &bytes);
    lua_Integer whole = 0;
    verdict found = read_whole(text, bytes, &whole);
    if (found == IS_NUMBER) lua_pushinteger(L, whole);
    if (found != NO_NUMBER || !is_decimal(text, bytes)) return found;
    if (lua_stringtonumber(L, text) == 0) return NO_NUMBER;
    lua_Number number = lua_tonumber(L, -1);
    return number - number == 0 ? IS_NUMBER : TOO_LARGE;
}

/// Pushes the integer that the value at `index` is; a float of a script that is whole is one too.
static verdict push_whole(lua_State *L, int index) {
    lua_Integer whole = 0;
    if (lua_type(L, index) == LUA_TNUMBER) {
        int isWhole = 0;
        whole = lua_tointegerx(L, index, &isWhole);
        if (!isWhole) return NO_NUMBER;
    } else {
        if (lua_type(L, index) != LUA_TSTRING) return NO_NUMBER;
        size_t bytes = 0;
        const char *text = lua_tolstring(L, index, &bytes);
        verdict found = read_whole(text, bytes, &whole);
        if (found != IS_NUMBER) return found;
    }
    lua_pushinteger(L, whole);
    return IS_NUMBER;
}

/// Pushes what is shown of a wrong argument: short, in quotes.
static const char *push_shown(lua_State *L, int index) {
    size_t bytes = 0;
    if (lua_isnoneornil(L, index)) return lua_pushliteral(L, "missing");
    if (lua_type(L, index) != LUA_TSTRING && lua_type(L, index) != LUA_TNUMBER)
        return lua_pushfstring(L, "a %s", luaL_typename(L, index));
    const char *text = luaL_tolstring(L, index, &bytes);
    if (bytes <= SHOWN_BYTES_MAX) return lua_pushfstring(L, "'%s'", text);
    // Not in the middle of a character.
    size_t shown = SHOWN_BYTES_MAX;
    while (shown > 0 && ((unsigned char)text[shown] & 0xC0) == 0x80) shown -= 1;
    lua_pushlstring(L, text, shown);
    return lua_pushfstring(L, "'%s…'", lua_tostring(L, -1));
}

static const char *name_of_argument(lua_State *L) {
    return lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "the argument";
}

static int refuse(lua_State *L, verdict found, const char *kind) {
    const char *shown = push_shown(L, 1);
    if (found == TOO_LARGE) return luaL_error(L, "%s does not fit into 64 bits: %s", name_of_argument(L), shown);
    return luaL_error(L, "%s must be a %s, not %s", name_of_argument(L), kind, shown);
}

/// `number(argument, name)`: the argument as a finite number; raises, naming it, when it is none.
static int check_number(lua_State *L) {
    lua_settop(L, 2);
    verdict found = push_number(L, 1);
    return found == IS_NUMBER ? 1 : refuse(L, found, "number");
}

/// `whole(argument, name)`: the argument as an integer.
static int check_whole(lua_State *L) {
    lua_settop(L, 2);
    verdict found = push_whole(L, 1);
    return found == IS_NUMBER ? 1 : refuse(L, found, "whole number");
}

/// `text(argument, name)`: the argument as a string.
static int check_text(lua_State *L) {
    lua_settop(L, 2);
    switch (lua_type(L, 1)) {
        case LUA_TSTRING: lua_settop(L, 1); return 1;
        case LUA_TNUMBER: case LUA_TBOOLEAN: luaL_tolstring(L, 1, NULL); return 1;
        case LUA_TNIL: return luaL_error(L, "%s is missing", name_of_argument(L));
        default: return luaL_error(L, "%s must be text, not a %s", name_of_argument(L), luaL_typename(L, 1));
    }
}

/// `tonumeral(argument)`: the same as `number`, but nil for what is none.
static int to_numeral(lua_State *L) {
    lua_settop(L, 1);
    if (push_number(L, 1) != IS_NUMBER) lua_pushnil(L);
    return 1;
}

/// `towhole(argument)`: the same as `whole`, but nil for what is none.
static int to_whole(lua_State *L) {
    lua_settop(L, 1);
    if (push_whole(L, 1) != IS_NUMBER) lua_pushnil(L);
    return 1;
}

void clua_open_arguments(lua_State *L) {
    static const luaL_Reg functions[] = {{"number", check_number}, {"whole", check_whole}, {"text", check_text},
        {"tonumeral", to_numeral}, {"towhole", to_whole}, {NULL, NULL}};
    clua_push_globals(L);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}

int clua_write_number(double number, char *text) {
    return snprintf(text, CLUA_NUMBER_BYTES_MAX, "%.14g", number);
}
