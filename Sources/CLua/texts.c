// Texts and what is read from them: the functions of `string` that are no patterns and no formats, `tostring` without
// addresses, and arithmetic with texts. A text is a number only if it is short; what is long is worked on in pieces,
// each charged.
#define _GNU_SOURCE
#include "CLua.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/// Worked on between two charges.
enum { PIECE_BYTES = 64 << 10 };

// MARK: Arguments

/// A long text is no number, whatever it holds: reading it takes milliseconds.
static void check_numeral(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TSTRING && lua_rawlen(L, index) > CLUA_NUMERAL_BYTES_MAX)
        luaL_argerror(L, index, "number expected, got a long string");
}

lua_Integer clua_check_integer(lua_State *L, int index) {
    int isInteger;
    if (lua_type(L, index) == LUA_TNUMBER) {
        lua_Integer number = lua_tointegerx(L, index, &isInteger);
        if (isInteger) return number;
    }
    check_numeral(L, index);
    return luaL_checkinteger(L, index);
}

lua_Integer clua_opt_integer(lua_State *L, int index, lua_Integer otherwise) {
    return lua_isnoneornil(L, index) ? otherwise : clua_check_integer(L, index);
}

bool clua_push_number(lua_State *L, int index) {
    int type = lua_type(L, index);
    if (type == LUA_TNUMBER) {
        lua_pushvalue(L, index);
        return true;
    }
    if (type != LUA_TSTRING) return false;
    size_t bytes;
    const char *text = lua_tolstring(L, index, &bytes);
    if (bytes > CLUA_NUMERAL_BYTES_MAX) return false;
    size_t used = lua_stringtonumber(L, text);
    // Up to a zero byte it may be one.
    if (used != 0 && used != bytes + 1) lua_pop(L, 1);
    return used == bytes + 1;
}

void clua_check_text_bytes(lua_State *L, size_t bytes) {
    if (bytes > CLUA_TEXT_BYTES_MAX) clua_abort(L, CLUA_ABORTED_TEXT);
}

// MARK: tostring

static uint64_t mix(uint64_t bits) {
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    return bits ^ (bits >> 31);
}

uint64_t clua_identity(const void *object) {
    static uint64_t keys[2];
    static int32_t areMade;  // atomic
    if (__atomic_load_n(&areMade, __ATOMIC_ACQUIRE) == 0) {
        uint64_t made[2];
        if (getrandom(made, sizeof made, 0) != (ssize_t)sizeof made) made[0] = made[1] = clua_now();
        // Who comes first decides.
        uint64_t none = 0;
        if (__atomic_compare_exchange_n(&keys[0], &none, made[0] | 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            __atomic_store_n(&keys[1], made[1], __ATOMIC_RELEASE);
            __atomic_store_n(&areMade, 1, __ATOMIC_RELEASE);
        } else {
            while (__atomic_load_n(&areMade, __ATOMIC_ACQUIRE) == 0) continue;
        }
    }
    return mix(mix((uint64_t)(uintptr_t)object ^ keys[0]) + keys[1]);
}

const char *clua_push_text(lua_State *L, int index, size_t *bytes) {
    index = lua_absindex(L, index);
    if (luaL_callmeta(L, index, "__tostring")) {
        if (!lua_isstring(L, -1)) luaL_error(L, "'__tostring' must return a string");
        return lua_tolstring(L, -1, bytes);
    }
    switch (lua_type(L, index)) {
        case LUA_TNUMBER: case LUA_TSTRING: case LUA_TNIL: case LUA_TBOOLEAN: return luaL_tolstring(L, index, bytes);
        default: break;
    }
    char identity[24];
    clua_control_of(L)->readsMore = true;
    snprintf(identity, sizeof identity, "%016" PRIx64, clua_identity(lua_topointer(L, index)));
    int kind = luaL_getmetafield(L, index, "__name");
    const char *name = kind == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, index);
    lua_pushfstring(L, "%s: %s", name, identity);
    if (kind != LUA_TNIL) lua_remove(L, -2);
    return lua_tolstring(L, -1, bytes);
}

int clua_tostring(lua_State *L) {
    luaL_checkany(L, 1);
    clua_push_text(L, 1, NULL);
    return 1;
}

// MARK: Arithmetic with texts

/// The operands of a text's metamethod: numbers, or raises what Lua itself would say.
static int text_arithmetic(lua_State *L) {
    int operation = (int)lua_tointeger(L, lua_upvalueindex(1));
    lua_settop(L, 2);
    if (clua_push_number(L, 1) && (operation == LUA_OPUNM || clua_push_number(L, 2))) {
        for (int at = 3; clua_control_of(L)->numbersAreDoubles && at <= lua_gettop(L); at += 1) {
            lua_pushnumber(L, lua_tonumber(L, at));
            lua_replace(L, at);
        }
        lua_arith(L, operation);
        return 1;
    }
    lua_settop(L, 2);
    // The other operand may have the metamethod; that of a text is this one.
    const char *event = lua_tostring(L, lua_upvalueindex(2));
    if (lua_type(L, 2) != LUA_TSTRING && luaL_getmetafield(L, 2, event) != LUA_TNIL) {
        lua_insert(L, 1);
        lua_call(L, 2, 1);
        return 1;
    }
    int culprit = clua_push_number(L, 1) ? 2 : 1;
    return luaL_error(L, "attempt to perform arithmetic on a %s value", luaL_typename(L, culprit));
}

void clua_open_text_arithmetic(lua_State *L) {
    static const struct {
        const char *event;
        int operation;
    } events[] = {{"__add", LUA_OPADD}, {"__sub", LUA_OPSUB}, {"__mul", LUA_OPMUL}, {"__mod", LUA_OPMOD},
        {"__pow", LUA_OPPOW}, {"__div", LUA_OPDIV}, {"__idiv", LUA_OPIDIV}, {"__unm", LUA_OPUNM}};
    for (size_t at = 0; at < sizeof events / sizeof *events; at += 1) {
        lua_pushinteger(L, events[at].operation);
        lua_pushstring(L, events[at].event);
        lua_pushcclosure(L, text_arithmetic, 2);
        lua_setfield(L, -2, events[at].event);
    }
}

// MARK: Parts

/// The 1-based position that a possibly negative one means, from 1 on.
static size_t start_of(lua_Integer position, size_t bytes) {
    if (position > 0) return (size_t)position;
    if (position == 0 || position < -(lua_Integer)bytes) return 1;
    return bytes + (size_t)position + 1;
}

/// The same for an end, at most the last.
static size_t end_of(lua_Integer position, size_t bytes) {
    if (position > (lua_Integer)bytes) return bytes;
    if (position >= 0) return (size_t)position;
    return position < -(lua_Integer)bytes ? 0 : bytes + (size_t)position + 1;
}

static int text_len(lua_State *L) {
    size_t bytes;
    luaL_checklstring(L, 1, &bytes);
    lua_pushinteger(L, (lua_Integer)bytes);
    return 1;
}

static int text_sub(lua_State *L) {
    size_t bytes;
    const char *text = luaL_checklstring(L, 1, &bytes);
    size_t first = start_of(clua_check_integer(L, 2), bytes), last = end_of(clua_opt_integer(L, 3, -1), bytes);
    if (first > last) {
        lua_pushliteral(L, "");
    } else {
        if (last - first >= PIECE_BYTES) clua_charge_bytes(L, last - first);
        lua_pushlstring(L, text + first - 1, last - first + 1);
    }
    return 1;
}

static int text_byte(lua_State *L) {
    size_t bytes;
    const char *text = luaL_checklstring(L, 1, &bytes);
    lua_Integer position = clua_opt_integer(L, 2, 1);
    size_t first = start_of(position, bytes), last = end_of(clua_opt_integer(L, 3, (lua_Integer)first), bytes);
    if (first > last) return 0;
    size_t count = last - first + 1;
    if (count > 8) clua_charge(L, (int64_t)count / 8);
    if (count >= INT32_MAX || !lua_checkstack(L, (int)count)) return luaL_error(L, "string slice too long");
    for (size_t at = 0; at < count; at += 1) lua_pushinteger(L, (unsigned char)text[first - 1 + at]);
    return (int)count;
}

static int text_char(lua_State *L) {
    int count = lua_gettop(L);
    luaL_Buffer out;
    char *to = luaL_buffinitsize(L, &out, (size_t)count);
    for (int at = 1; at <= count; at += 1) {
        lua_Integer code = clua_check_integer(L, at);
        luaL_argcheck(L, code >= 0 && code <= 255, at, "value out of range");
        to[at - 1] = (char)code;
    }
    luaL_pushresultsize(&out, (size_t)count);
    return 1;
}

// MARK: Whole texts

typedef void (*transformation)(const char *from, size_t bytes, size_t at, size_t end, char *to);

static void put_lower(const char *from, size_t bytes, size_t at, size_t end, char *to) {
    (void)bytes;
    for (; at < end; at += 1) to[at] = (char)tolower((unsigned char)from[at]);
}

static void put_upper(const char *from, size_t bytes, size_t at, size_t end, char *to) {
    (void)bytes;
    for (; at < end; at += 1) to[at] = (char)toupper((unsigned char)from[at]);
}

static void put_reverse(const char *from, size_t bytes, size_t at, size_t end, char *to) {
    for (; at < end; at += 1) to[at] = from[bytes - 1 - at];
}

static int transform(lua_State *L, transformation put) {
    size_t bytes;
    const char *text = luaL_checklstring(L, 1, &bytes);
    clua_check_text_bytes(L, bytes);
    luaL_Buffer out;
    char *to = luaL_buffinitsize(L, &out, bytes);
    for (size_t at = 0; at < bytes; at += PIECE_BYTES) {
        size_t end = bytes - at < PIECE_BYTES ? bytes : at + PIECE_BYTES;
        // A text takes some eight times as long to change as to copy.
        if (end - at >= 512) clua_charge_bytes(L, (end - at) * 8);
        put(text, bytes, at, end, to);
    }
    luaL_pushresultsize(&out, bytes);
    return 1;
}

static int text_lower(lua_State *L) { return transform(L, put_lower); }
static int text_upper(lua_State *L) { return transform(L, put_upper); }
static int text_reverse(lua_State *L) { return transform(L, put_reverse); }

static int text_rep(lua_State *L) {
    size_t bytes, separatorBytes;
    const char *text = luaL_checklstring(L, 1, &bytes);
    lua_Integer count = clua_check_integer(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &separatorBytes);
    if (count <= 0 || bytes + separatorBytes == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    size_t unit = bytes + separatorBytes;
    if ((lua_Unsigned)count > CLUA_TEXT_BYTES_MAX || unit > CLUA_TEXT_BYTES_MAX) clua_abort(L, CLUA_ABORTED_TEXT);
    size_t total = unit * (size_t)count - separatorBytes;
    clua_check_text_bytes(L, total);
    clua_charge_bytes(L, total);
    luaL_Buffer out;
    char *to = luaL_buffinitsize(L, &out, total);
    memcpy(to, text, bytes);
    if (count > 1) memcpy(to + bytes, separator, separatorBytes);
    // What is there is copied behind itself, twice as much each time.
    for (size_t done = unit < total ? unit : total, next; done < total; done += next) {
        next = done < total - done ? done : total - done;
        memcpy(to + done, to, next);
    }
    luaL_pushresultsize(&out, total);
    return 1;
}

void clua_open_texts(lua_State *L) {
    static const luaL_Reg functions[] = {{"byte", text_byte}, {"char", text_char}, {"format", clua_format},
        {"len", text_len}, {"lower", text_lower}, {"rep", text_rep}, {"reverse", text_reverse}, {"sub", text_sub},
        {"upper", text_upper}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}

