// `string.pack` and its relatives: the library's own, asked only for what takes them no long time.
#include "CLua.h"

#include <ctype.h>
#include <string.h>

/// A format has no more; each of its options is charged.
enum { FORMAT_BYTES_MAX = 64 << 10 };

typedef enum { PACK, PACKSIZE, UNPACK } purpose;

/// Whether `c` with its size, or all of them together, would make a text that may not be; and numbers that are long
/// texts.
static void check(lua_State *L, purpose purpose) {
    size_t bytes, padding = 0;
    const char *format = luaL_checklstring(L, 1, &bytes);
    luaL_argcheck(L, bytes <= FORMAT_BYTES_MAX, 1, "format has more than 64 KiB");
    clua_charge(L, (int64_t)bytes);
    int argument = 2;
    for (size_t at = 0; at < bytes; at += 1) {
        char option = format[at];
        size_t size = 0;
        bool hasSize = false;
        while (at + 1 < bytes && isdigit((unsigned char)format[at + 1])) {
            at += 1;
            hasSize = true;
            if (size <= CLUA_TEXT_BYTES_MAX) size = size * 10 + (size_t)(format[at] - '0');
        }
        if (option == 'c' && hasSize) padding += size;
        if (purpose == PACK && padding > CLUA_TEXT_BYTES_MAX) clua_abort(L, CLUA_ABORTED_TEXT);
        if (option == 0 || strchr("bBhHlLjJTiIfdnszc", option) == NULL) continue;
        bool isText = option == 's' || option == 'z' || option == 'c';
        if (purpose == PACK && lua_type(L, argument) == LUA_TSTRING) {
            size_t length = lua_rawlen(L, argument);
            if (!isText && length > CLUA_NUMERAL_BYTES_MAX)
                luaL_argerror(L, argument, "number expected, got a long string");
            if (isText) {
                padding += length;
                clua_charge_bytes(L, length);
            }
        }
        // A text without a zero is searched to its end.
        if (purpose == UNPACK && option == 'z' && lua_rawlen(L, 2) > FORMAT_BYTES_MAX) clua_look(L);
        argument += 1;
    }
    if (purpose == PACK) clua_check_text_bytes(L, padding);
}

/// Calls the original in upvalue 1 with the arguments as they are.
static int call_original(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int pack(lua_State *L) {
    check(L, PACK);
    return call_original(L);
}

static int packsize(lua_State *L) {
    check(L, PACKSIZE);
    return call_original(L);
}

static int unpack(lua_State *L) {
    luaL_checkstring(L, 2);
    check(L, UNPACK);
    clua_opt_integer(L, 3, 1);
    return call_original(L);
}

/// Around what is in the table on top.
static void guard(lua_State *L, const char *name, lua_CFunction function) {
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
}

void clua_open_packing(lua_State *L) {
    guard(L, "pack", pack);
    guard(L, "packsize", packsize);
    guard(L, "unpack", unpack);
}
