// `string.format`: the directives of Lua 5.4, each charged; `%p` and `%s` show no addresses.
#include "CLua.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/// A directive as it goes to the C library, and what it can print: a double has up to 309 digits before the point.
enum { DIRECTIVE_BYTES_MAX = 32, PRINTED_BYTES_MAX = 512 };
enum { INSTRUCTIONS_A_DIRECTIVE = 8, BYTES_A_CHARGE = 4096 };

/// Adds a text, within what a text may have.
static void add(lua_State *L, luaL_Buffer *out, const char *text, size_t bytes) {
    clua_check_text_bytes(L, luaL_bufflen(out) + bytes);
    if (bytes >= BYTES_A_CHARGE) clua_charge_bytes(L, bytes);
    luaL_addlstring(out, text, bytes);
}

// MARK: %q

static void add_quoted(lua_State *L, luaL_Buffer *out, const char *text, size_t bytes) {
    add(L, out, "\"", 1);
    for (size_t at = 0; at < bytes; at += 1) {
        if (at % BYTES_A_CHARGE == 0) clua_check_text_bytes(L, luaL_bufflen(out));
        if (at % BYTES_A_CHARGE == BYTES_A_CHARGE - 1) clua_charge(L, BYTES_A_CHARGE / 16);
        unsigned char character = (unsigned char)text[at];
        if (character == '"' || character == '\\' || character == '\n') {
            luaL_addchar(out, '\\');
            luaL_addchar(out, (char)character);
        } else if (iscntrl(character)) {
            char escaped[8];
            bool isFollowed = at + 1 < bytes && isdigit((unsigned char)text[at + 1]);
            snprintf(escaped, sizeof escaped, isFollowed ? "\\%03d" : "\\%d", (int)character);
            luaL_addstring(out, escaped);
        } else {
            luaL_addchar(out, (char)character);
        }
    }
    add(L, out, "\"", 1);
}

static void add_literal(lua_State *L, luaL_Buffer *out, int index) {
    char printed[PRINTED_BYTES_MAX];
    switch (lua_type(L, index)) {
        case LUA_TSTRING: {
            size_t bytes;
            const char *text = lua_tolstring(L, index, &bytes);
            add_quoted(L, out, text, bytes);
            return;
        }
        case LUA_TNUMBER: {
            if (lua_isinteger(L, index)) {
                lua_Integer number = lua_tointeger(L, index);
                const char *directive = number == LUA_MININTEGER ? "0x%" PRIx64 : "%" PRId64;
                snprintf(printed, sizeof printed, directive, (int64_t)number);
            } else {
                lua_Number number = lua_tonumber(L, index);
                if (isinf(number)) snprintf(printed, sizeof printed, number > 0 ? "1e9999" : "-1e9999");
                else if (isnan(number)) snprintf(printed, sizeof printed, "(0/0)");
                else snprintf(printed, sizeof printed, "%a", number);
            }
            break;
        }
        case LUA_TNIL: snprintf(printed, sizeof printed, "nil"); break;
        case LUA_TBOOLEAN: snprintf(printed, sizeof printed, lua_toboolean(L, index) ? "true" : "false"); break;
        default: luaL_argerror(L, index, "value has no literal form");
    }
    luaL_addstring(out, printed);
}

// MARK: Directives

/// Copies the flags, width and precision at `at`, `%` excluded, for the C library; returns where the conversion is.
static const char *read_directive(lua_State *L, const char *at, const char *end, char *directive, bool *hasPrecision) {
    const char *start = at;
    while (at < end && *at != 0 && strchr("-+#0 ", *at) != NULL) at += 1;
    if (at - start > 5) luaL_error(L, "invalid format (repeated flags)");
    for (int digits = 0; at < end && isdigit((unsigned char)*at); digits += 1, at += 1)
        if (digits == 2) luaL_error(L, "invalid format (width or precision too long)");
    *hasPrecision = at < end && *at == '.';
    if (*hasPrecision) {
        at += 1;
        for (int digits = 0; at < end && isdigit((unsigned char)*at); digits += 1, at += 1)
            if (digits == 2) luaL_error(L, "invalid format (width or precision too long)");
    }
    directive[0] = '%';
    memcpy(directive + 1, start, (size_t)(at - start));
    directive[1 + (at - start)] = 0;
    return at;
}

static void check_number(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TNUMBER) return;
    if (!clua_push_number(L, index)) luaL_typeerror(L, index, "number");
    lua_replace(L, index);
}

/// `%s`: what is long goes as it is, unless it is to be cut.
static void add_text(lua_State *L, luaL_Buffer *out, int index, char *directive, bool hasPrecision) {
    size_t bytes;
    const char *text = clua_push_text(L, index, &bytes);
    if (directive[1] == 0) {
        clua_check_text_bytes(L, luaL_bufflen(out) + bytes);
        if (bytes >= BYTES_A_CHARGE) clua_charge_bytes(L, bytes);
        luaL_addvalue(out);
        return;
    }
    clua_charge_bytes(L, bytes);
    luaL_argcheck(L, memchr(text, 0, bytes) == NULL, index, "string contains zeros");
    if (!hasPrecision && bytes >= 100) {
        clua_check_text_bytes(L, luaL_bufflen(out) + bytes);
        luaL_addvalue(out);
        return;
    }
    char printed[PRINTED_BYTES_MAX];
    strcat(directive, "s");
    int count = snprintf(printed, sizeof printed, directive, text);
    lua_pop(L, 1);
    luaL_addlstring(out, printed, (size_t)count);
}

static void add_directive(
    lua_State *L, luaL_Buffer *out, int index, char conversion, char *directive, bool hasPrecision) {
    char printed[PRINTED_BYTES_MAX];
    size_t end = strlen(directive);
    int count;
    switch (conversion) {
        case 'c':
            check_number(L, index);
            strcat(directive, "c");
            count = snprintf(printed, sizeof printed, directive, (int)(luaL_checkinteger(L, index) & 255));
            break;
        case 'd': case 'i': case 'u': case 'o': case 'x': case 'X':
            check_number(L, index);
            memcpy(directive + end, "ll", 2);
            directive[end + 2] = conversion;
            directive[end + 3] = 0;
            count = snprintf(printed, sizeof printed, directive, (long long)luaL_checkinteger(L, index));
            break;
        case 'a': case 'A': case 'e': case 'E': case 'f': case 'F': case 'g': case 'G':
            check_number(L, index);
            directive[end] = conversion;
            directive[end + 1] = 0;
            count = snprintf(printed, sizeof printed, directive, (double)lua_tonumber(L, index));
            break;
        case 'p': {
            const void *object = lua_topointer(L, index);
            char identity[24] = "(null)";
            clua_control_of(L)->readsMore = true;
            if (object != NULL) snprintf(identity, sizeof identity, "%016" PRIx64, clua_identity(object));
            if (hasPrecision) luaL_error(L, "invalid conversion '%sp' to 'format'", directive);
            strcat(directive, "s");
            count = snprintf(printed, sizeof printed, directive, identity);
            break;
        }
        case 'q':
            if (end > 1) luaL_error(L, "specifier '%%q' cannot have modifiers");
            add_literal(L, out, index);
            return;
        case 's':
            add_text(L, out, index, directive, hasPrecision);
            return;
        default:
            luaL_error(L, "invalid conversion '%s%c' to 'format'", directive, conversion);
            return;
    }
    luaL_addlstring(out, printed, (size_t)count);
}

int clua_format(lua_State *L) {
    int top = lua_gettop(L), index = 1;
    size_t bytes;
    const char *at = luaL_checklstring(L, 1, &bytes), *end = at + bytes;
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    while (at < end) {
        const char *percent = memchr(at, '%', (size_t)(end - at));
        add(L, &out, at, (size_t)((percent == NULL ? end : percent) - at));
        if (percent == NULL) break;
        at = percent + 1;
        clua_charge(L, INSTRUCTIONS_A_DIRECTIVE);
        if (at < end && *at == '%') {
            luaL_addchar(&out, '%');
            at += 1;
            continue;
        }
        char directive[DIRECTIVE_BYTES_MAX];
        bool hasPrecision;
        at = read_directive(L, at, end, directive, &hasPrecision);
        if (at == end) return luaL_error(L, "invalid conversion '%s' to 'format'", directive);
        index += 1;
        luaL_argcheck(L, index <= top, index, "no value");
        add_directive(L, &out, index, *at, directive, hasPrecision);
        at += 1;
    }
    luaL_pushresult(&out);
    return 1;
}
