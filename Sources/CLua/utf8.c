// The functions of `utf8`: long texts are gone through in pieces, each charged.
#include "CLua.h"

#include <stdint.h>

enum { CODE_MAX = 0x7FFFFFFF, UNICODE_MAX = 0x10FFFF, CHARACTERS_A_CHARGE = 1024 };

static bool is_continuation(const char *at) { return ((unsigned char)*at & 0xC0) == 0x80; }

/// The character at `at`; returns where the next one is, or NULL for what is no UTF-8. Lua's texts end with a zero
/// byte.
static const char *decode(const char *at, uint32_t *code, bool isStrict) {
    static const uint32_t least[] = {UINT32_MAX, 0x80, 0x800, 0x10000, 0x200000, 0x4000000};
    const unsigned char *bytes = (const unsigned char *)at;
    uint32_t first = bytes[0], result = 0;
    if (first < 0x80) {
        *code = first;
        return at + 1;
    }
    int count = 0;
    for (; (first & 0x40) != 0; first <<= 1) {
        count += 1;
        if ((bytes[count] & 0xC0) != 0x80 || count > 5) return NULL;
        result = result << 6 | (bytes[count] & 0x3F);
    }
    if (count == 0) return NULL;
    result |= (first & 0x7F) << (count * 5);
    if (result > CODE_MAX || result < least[count]) return NULL;
    if (isStrict && (result > UNICODE_MAX || (result >= 0xD800 && result <= 0xDFFF))) return NULL;
    *code = result;
    return at + count + 1;
}

/// A position from the end counts backwards.
static lua_Integer from_end(lua_Integer position, size_t bytes) {
    if (position >= 0) return position;
    return (size_t)0 - (size_t)position > bytes ? 0 : (lua_Integer)bytes + position + 1;
}

static inline void step(lua_State *L, uint32_t *steps) {
    *steps += 1;
    if (*steps % CHARACTERS_A_CHARGE == 0) clua_charge(L, CHARACTERS_A_CHARGE / 4);
}

static int utf8_length(lua_State *L) {
    size_t bytes;
    const char *text = luaL_checklstring(L, 1, &bytes);
    lua_Integer at = from_end(clua_opt_integer(L, 2, 1), bytes), last = from_end(clua_opt_integer(L, 3, -1), bytes);
    bool isStrict = !lua_toboolean(L, 4);
    luaL_argcheck(L, 1 <= at && at - 1 <= (lua_Integer)bytes, 2, "initial position out of bounds");
    luaL_argcheck(L, last <= (lua_Integer)bytes, 3, "final position out of bounds");
    lua_Integer count = 0;
    uint32_t steps = 0, code;
    for (at -= 1; at < last; count += 1) {
        step(L, &steps);
        const char *next = decode(text + at, &code, isStrict);
        if (next == NULL) {
            lua_pushnil(L);
            lua_pushinteger(L, at + 1);
            return 2;
        }
        at = next - text;
    }
    lua_pushinteger(L, count);
    return 1;
}

static int utf8_codepoint(lua_State *L) {
    size_t bytes;
    const char *text = luaL_checklstring(L, 1, &bytes);
    lua_Integer first = from_end(clua_opt_integer(L, 2, 1), bytes);
    lua_Integer last = from_end(clua_opt_integer(L, 3, first), bytes);
    bool isStrict = !lua_toboolean(L, 4);
    luaL_argcheck(L, first >= 1, 2, "out of bounds");
    luaL_argcheck(L, last <= (lua_Integer)bytes, 3, "out of bounds");
    if (first > last) return 0;
    clua_charge(L, (last - first) / 4 + 1);
    if (last - first >= INT32_MAX || !lua_checkstack(L, (int)(last - first) + 1))
        return luaL_error(L, "string slice too long");
    int count = 0;
    for (const char *at = text + first - 1; at < text + last; count += 1) {
        uint32_t code;
        at = decode(at, &code, isStrict);
        if (at == NULL) return luaL_error(L, "invalid UTF-8 code");
        lua_pushinteger(L, code);
    }
    return count;
}

static void add_code(lua_State *L, luaL_Buffer *out, int index) {
    lua_Integer code = clua_check_integer(L, index);
    luaL_argcheck(L, code >= 0 && code <= CODE_MAX, index, "value out of range");
    if (code < 0x80) {
        luaL_addchar(out, (char)code);
        return;
    }
    // From the last byte to the first: six bits each, until the rest fits into the first.
    unsigned char encoded[6];
    int at = 6;
    uint32_t rest = (uint32_t)code, room = 0x3F;
    do {
        encoded[--at] = (unsigned char)(0x80 | (rest & 0x3F));
        rest >>= 6;
        room >>= 1;
    } while (rest > room);
    encoded[--at] = (unsigned char)((~room << 1) | rest);
    luaL_addlstring(out, (const char *)encoded + at, (size_t)(6 - at));
}

static int utf8_char(lua_State *L) {
    int count = lua_gettop(L);
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (int at = 1; at <= count; at += 1) add_code(L, &out, at);
    luaL_pushresult(&out);
    return 1;
}

static int utf8_offset(lua_State *L) {
    size_t bytes;
    const char *text = luaL_checklstring(L, 1, &bytes);
    lua_Integer wanted = clua_check_integer(L, 2), length = (lua_Integer)bytes;
    lua_Integer at = from_end(clua_opt_integer(L, 3, wanted > 0 ? 1 : length + 1), bytes) - 1;
    luaL_argcheck(L, 0 <= at && at <= length, 3, "position out of bounds");
    uint32_t steps = 0;
    if (wanted == 0) {
        for (; at > 0 && is_continuation(text + at); at -= 1) step(L, &steps);
    } else {
        if (is_continuation(text + at)) return luaL_error(L, "initial position is a continuation byte");
        for (; wanted < 0 && at > 0; wanted += 1) {
            do {
                step(L, &steps);
                at -= 1;
            } while (at > 0 && is_continuation(text + at));
        }
        if (wanted > 0) wanted -= 1;
        for (; wanted > 0 && at < length; wanted -= 1) {
            do {
                step(L, &steps);
                at += 1;
            } while (is_continuation(text + at));  // the zero at the end is none
        }
    }
    if (wanted == 0) lua_pushinteger(L, at + 1);
    else lua_pushnil(L);
    return 1;
}

static int next_code(lua_State *L, bool isStrict) {
    size_t bytes;
    const char *text = luaL_checklstring(L, 1, &bytes);
    lua_Unsigned at = (lua_Unsigned)clua_check_integer(L, 2);
    uint32_t steps = 0;
    if (at < bytes) {
        while (is_continuation(text + at)) {
            step(L, &steps);
            at += 1;
        }
    }
    if (at >= bytes) return 0;
    uint32_t code;
    const char *next = decode(text + at, &code, isStrict);
    if (next == NULL || is_continuation(next)) return luaL_error(L, "invalid UTF-8 code");
    lua_pushinteger(L, (lua_Integer)at + 1);
    lua_pushinteger(L, code);
    return 2;
}

static int next_code_strict(lua_State *L) { return next_code(L, true); }
static int next_code_lax(lua_State *L) { return next_code(L, false); }

static int utf8_codes(lua_State *L) {
    bool isLax = lua_toboolean(L, 2);
    const char *text = luaL_checkstring(L, 1);
    luaL_argcheck(L, !is_continuation(text), 1, "invalid UTF-8 code");
    lua_pushcfunction(L, isLax ? next_code_lax : next_code_strict);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    return 3;
}

void clua_open_utf8(lua_State *L) {
    static const luaL_Reg functions[] = {{"char", utf8_char}, {"codepoint", utf8_codepoint}, {"codes", utf8_codes},
        {"len", utf8_length}, {"offset", utf8_offset}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, "[\0-\x7F\xC2-\xFD][\x80-\xBF]*");
    lua_setfield(L, -2, "charpattern");
}
