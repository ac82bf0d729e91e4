// Lua's patterns (find, match, gmatch, gsub) with every step of the search charged to the budget: the standard ones can
// search for hours in one call.
#define _GNU_SOURCE
#include "CLua.h"

#include <ctype.h>
#include <string.h>

enum {
    CAPTURES_MAX = 32,
    DEPTH_MAX = 180,          ///< nested attempts; each takes about 100 bytes of C stack
    STEPS_A_CHARGE = 1024,    ///< a step takes a quarter of an instruction's time
    PIECE_BYTES = 64 << 10    ///< of a plain search, between two charges
};

/// What a capture's length says while it is no length.
enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

typedef struct {
    lua_State *L;
    const char *subject, *subjectEnd, *patternEnd;
    size_t steps;             ///< since the last charge
    int depth, captureCount;
    struct {
        const char *start;
        ptrdiff_t length;
    } captures[CAPTURES_MAX];
} search;

static const char *attempt(search *my, const char *at, const char *item);

static inline void steps(search *my, size_t count) {
    my->steps += count;
    if (my->steps < STEPS_A_CHARGE) return;
    size_t taken = my->steps;
    my->steps = 0;
    clua_charge(my->L, (int64_t)(taken / 4));
}

static inline void step(search *my) { steps(my, 1); }

// MARK: Single characters

static bool is_in_class(int character, int letter) {
    bool isIn;
    switch (tolower(letter)) {
        case 'a': isIn = isalpha(character); break;
        case 'c': isIn = iscntrl(character); break;
        case 'd': isIn = isdigit(character); break;
        case 'g': isIn = isgraph(character); break;
        case 'l': isIn = islower(character); break;
        case 'p': isIn = ispunct(character); break;
        case 's': isIn = isspace(character); break;
        case 'u': isIn = isupper(character); break;
        case 'w': isIn = isalnum(character); break;
        case 'x': isIn = isxdigit(character); break;
        default: return letter == character;
    }
    return isupper(letter) ? !isIn : isIn;
}

/// Where the single-character item at `item` ends: behind `x`, `%x` or `[set]`.
static const char *end_of_item(search *my, const char *item) {
    char first = *item++;
    if (first == '%') {
        if (item == my->patternEnd) luaL_error(my->L, "malformed pattern (ends with '%%')");
        return item + 1;
    }
    if (first != '[') return item;
    if (item < my->patternEnd && *item == '^') item += 1;
    // A bracket that comes first is a member, not the end.
    for (bool isFirst = true;; isFirst = false) {
        if (item >= my->patternEnd) luaL_error(my->L, "malformed pattern (missing ']')");
        step(my);
        char member = *item++;
        if (member == ']' && !isFirst) return item;
        if (member == '%') item += 1;
    }
}

/// Whether the set from `[` up to `end`, which is behind its `]`, has the character.
static bool is_in_set(int character, const char *set, const char *end) {
    bool isNegated = set[1] == '^';
    const char *last = end - 1;
    for (set += isNegated ? 2 : 1; set < last;) {
        if (*set == '%') {
            if (is_in_class(character, (unsigned char)set[1])) return !isNegated;
            set += 2;
        } else if (set + 2 < last && set[1] == '-') {
            if ((unsigned char)set[0] <= character && character <= (unsigned char)set[2]) return !isNegated;
            set += 3;
        } else {
            if ((unsigned char)*set == character) return !isNegated;
            set += 1;
        }
    }
    return isNegated;
}

static bool fits(search *my, const char *at, const char *item, const char *end) {
    step(my);
    if (at >= my->subjectEnd) return false;
    int character = (unsigned char)*at;
    switch (*item) {
        case '.': return true;
        case '%': return is_in_class(character, (unsigned char)item[1]);
        case '[':
            steps(my, (size_t)(end - item) / 2);
            return is_in_set(character, item, end);
        default: return (unsigned char)*item == character;
    }
}

// MARK: Items of more than one character

/// `*`, `+` and `?`: between `least` and `most` characters, as many as possible.
static const char *greedy(search *my, const char *at, const char *item, const char *end, ptrdiff_t least, ptrdiff_t most) {
    ptrdiff_t count = 0;
    while (count < most && fits(my, at + count, item, end)) count += 1;
    for (; count >= least; count -= 1) {
        step(my);
        const char *found = attempt(my, at + count, end + 1);
        if (found != NULL) return found;
    }
    return NULL;
}

/// `-`: as few as possible.
static const char *lazy(search *my, const char *at, const char *item, const char *end) {
    for (;; at += 1) {
        const char *found = attempt(my, at, end + 1);
        if (found != NULL) return found;
        if (!fits(my, at, item, end)) return NULL;
    }
}

/// `%bxy`: up to the `y` that balances the `x` at `at`.
static const char *balanced(search *my, const char *at, const char *pair) {
    if (my->patternEnd - pair < 2) luaL_error(my->L, "malformed pattern (missing arguments to '%%b')");
    if (at >= my->subjectEnd || *at != pair[0]) return NULL;
    ptrdiff_t open = 1;
    while (++at < my->subjectEnd) {
        step(my);
        if (*at == pair[1]) {
            open -= 1;
            if (open == 0) return at + 1;
        } else if (*at == pair[0]) {
            open += 1;
        }
    }
    return NULL;
}

static const char *with_capture(search *my, const char *at, const char *item, ptrdiff_t length) {
    if (my->captureCount >= CAPTURES_MAX) luaL_error(my->L, "too many captures");
    my->captures[my->captureCount].start = at;
    my->captures[my->captureCount].length = length;
    my->captureCount += 1;
    const char *found = attempt(my, at, item);
    if (found == NULL) my->captureCount -= 1;
    return found;
}

static const char *with_closed_capture(search *my, const char *at, const char *item) {
    int last = my->captureCount - 1;
    while (last >= 0 && my->captures[last].length != CAPTURE_OPEN) last -= 1;
    if (last < 0) luaL_error(my->L, "invalid pattern capture");
    my->captures[last].length = at - my->captures[last].start;
    const char *found = attempt(my, at, item);
    if (found == NULL) my->captures[last].length = CAPTURE_OPEN;
    return found;
}

/// `%1`: the text of an earlier capture once more; where it ends, or NULL.
static const char *repeated(search *my, const char *at, int digit) {
    int index = digit - '1';
    if (index < 0 || index >= my->captureCount || my->captures[index].length == CAPTURE_OPEN)
        luaL_error(my->L, "invalid capture index %%%d in pattern", index + 1);
    ptrdiff_t length = my->captures[index].length;
    if (length < 0) return NULL;  // a position has no text to repeat
    steps(my, 1 + (size_t)length / (CLUA_BYTES_AN_INSTRUCTION / 4));
    if (my->subjectEnd - at < length || memcmp(my->captures[index].start, at, (size_t)length) != 0) return NULL;
    return at + length;
}

static bool is_frontier(search *my, const char *at, const char *set, const char *end) {
    int before = at == my->subject ? 0 : (unsigned char)at[-1];
    int here = at < my->subjectEnd ? (unsigned char)*at : 0;
    return !is_in_set(before, set, end) && is_in_set(here, set, end);
}

// MARK: The search

/// Matches the rest of the pattern here; where the match ends, or NULL.
static const char *attempt_here(search *my, const char *at, const char *item) {
    while (item < my->patternEnd) {
        step(my);
        if (*item == '(') {
            bool isPosition = item + 1 < my->patternEnd && item[1] == ')';
            return with_capture(my, at, item + (isPosition ? 2 : 1), isPosition ? CAPTURE_POSITION : CAPTURE_OPEN);
        }
        if (*item == ')') return with_closed_capture(my, at, item + 1);
        if (*item == '$' && item + 1 == my->patternEnd) return at == my->subjectEnd ? at : NULL;
        if (*item == '%' && item + 1 < my->patternEnd) {
            int letter = (unsigned char)item[1];
            if (letter == 'b' || isdigit(letter)) {
                at = letter == 'b' ? balanced(my, at, item + 2) : repeated(my, at, letter);
                if (at == NULL) return NULL;
                item += letter == 'b' ? 4 : 2;
                continue;
            }
            if (letter == 'f') {
                item += 2;
                if (item >= my->patternEnd || *item != '[') luaL_error(my->L, "missing '[' after '%%f' in pattern");
                const char *end = end_of_item(my, item);
                if (end > my->patternEnd) luaL_error(my->L, "malformed pattern (missing ']')");
                steps(my, (size_t)(end - item));
                if (!is_frontier(my, at, item, end)) return NULL;
                item = end;
                continue;
            }
        }
        const char *end = end_of_item(my, item);
        if (end > my->patternEnd) luaL_error(my->L, "malformed pattern (missing ']')");
        switch (end < my->patternEnd ? *end : 0) {
            case '?': return greedy(my, at, item, end, 0, 1);
            case '*': return greedy(my, at, item, end, 0, PTRDIFF_MAX);
            case '+': return greedy(my, at, item, end, 1, PTRDIFF_MAX);
            case '-': return lazy(my, at, item, end);
            default: break;
        }
        if (!fits(my, at, item, end)) return NULL;
        at += 1;
        item = end;
    }
    return at;
}

static const char *attempt(search *my, const char *at, const char *item) {
    if (my->depth >= DEPTH_MAX) luaL_error(my->L, "pattern too complex");
    my->depth += 1;
    const char *found = attempt_here(my, at, item);
    my->depth -= 1;
    return found;
}

static const char *attempt_anew(search *my, const char *at, const char *pattern) {
    my->captureCount = 0;
    my->depth = 0;
    return attempt(my, at, pattern);
}

static search prepare(lua_State *L, const char *subject, size_t bytes, const char *pattern, size_t patternBytes) {
    search new;
    new.L = L;
    new.subject = subject;
    new.subjectEnd = subject + bytes;
    new.patternEnd = pattern + patternBytes;
    new.steps = 0;
    new.depth = 0;
    new.captureCount = 0;
    return new;
}

// MARK: Results

/// Pushes one capture; the whole match stands for the first of none.
static void push_capture(search *my, int index, const char *start, const char *end) {
    if (index >= my->captureCount) {
        if (index != 0) luaL_error(my->L, "invalid capture index %%%d", index + 1);
        lua_pushlstring(my->L, start, (size_t)(end - start));
        return;
    }
    ptrdiff_t length = my->captures[index].length;
    if (length == CAPTURE_OPEN) luaL_error(my->L, "unfinished capture");
    if (length == CAPTURE_POSITION)
        lua_pushinteger(my->L, my->captures[index].start - my->subject + 1);
    else
        lua_pushlstring(my->L, my->captures[index].start, (size_t)length);
}

/// `start` NULL: only what was captured, not the whole match.
static int push_captures(search *my, const char *start, const char *end) {
    int count = my->captureCount == 0 && start != NULL ? 1 : my->captureCount;
    luaL_checkstack(my->L, count, "too many captures");
    for (int index = 0; index < count; index += 1) push_capture(my, index, start, end);
    return count;
}

// MARK: find and match

/// The 0-based offset that a 1-based, possibly negative position means.
static size_t offset_of(lua_Integer position, size_t bytes) {
    if (position > 0) return (size_t)position - 1;
    if (position == 0 || position < -(lua_Integer)bytes) return 0;
    return bytes - (size_t)-position;
}

static bool is_plain(const char *pattern, size_t bytes) {
    for (size_t index = 0; index < bytes; index += 1)
        if (pattern[index] != 0 && strchr("^$*+?.([%-", pattern[index]) != NULL) return false;
    return true;
}

/// Where `wanted` is first, or NULL. A short one is searched piece by piece; a long one takes time to prepare.
static const char *search_plain(lua_State *L, const char *at, const char *end, const char *wanted, size_t bytes) {
    if (bytes == 0) return at;
    size_t piece = bytes < PIECE_BYTES / 4 ? PIECE_BYTES : bytes * 4;
    while ((size_t)(end - at) >= bytes) {
        size_t here = (size_t)(end - at) < piece ? (size_t)(end - at) : piece;
        clua_charge(L, 1 + (int64_t)(here / CLUA_BYTES_AN_INSTRUCTION));
        const char *found = memmem(at, here, wanted, bytes);
        if (found != NULL) return found;
        at += here - bytes + 1;
    }
    return NULL;
}

static int find_plain(
    lua_State *L, const char *subject, size_t bytes, size_t offset, const char *wanted, size_t wantedBytes) {
    const char *found = search_plain(L, subject + offset, subject + bytes, wanted, wantedBytes);
    if (found == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, found - subject + 1);
    lua_pushinteger(L, found - subject + (lua_Integer)wantedBytes);
    return 2;
}

static int find_or_match(lua_State *L, bool isFind) {
    size_t bytes, patternBytes;
    const char *subject = luaL_checklstring(L, 1, &bytes);
    const char *pattern = luaL_checklstring(L, 2, &patternBytes);
    size_t offset = offset_of(clua_opt_integer(L, 3, 1), bytes);
    if (patternBytes >= STEPS_A_CHARGE) clua_charge(L, (int64_t)patternBytes / 8);
    if (offset > bytes) {
        lua_pushnil(L);
        return 1;
    }
    if (isFind && (lua_toboolean(L, 4) || is_plain(pattern, patternBytes)))
        return find_plain(L, subject, bytes, offset, pattern, patternBytes);
    search my = prepare(L, subject, bytes, pattern, patternBytes);
    bool isAnchored = patternBytes > 0 && *pattern == '^';
    if (isAnchored) pattern += 1;
    for (const char *start = subject + offset; start <= my.subjectEnd; start += 1) {
        const char *end = attempt_anew(&my, start, pattern);
        if (end != NULL) {
            if (!isFind) return push_captures(&my, start, end);
            lua_pushinteger(L, start - subject + 1);
            lua_pushinteger(L, end - subject);
            return 2 + push_captures(&my, NULL, NULL);
        }
        if (isAnchored) break;
    }
    lua_pushnil(L);
    return 1;
}

static int pattern_find(lua_State *L) { return find_or_match(L, true); }
static int pattern_match(lua_State *L) { return find_or_match(L, false); }

// MARK: gmatch

/// Upvalues: subject, pattern, the offset to go on from, the offset where the last match ended (an empty match there is
/// none).
static int gmatch_next(lua_State *L) {
    size_t bytes, patternBytes;
    const char *subject = lua_tolstring(L, lua_upvalueindex(1), &bytes);
    const char *pattern = lua_tolstring(L, lua_upvalueindex(2), &patternBytes);
    lua_Integer lastEnd = lua_tointeger(L, lua_upvalueindex(4));
    search my = prepare(L, subject, bytes, pattern, patternBytes);
    for (const char *start = subject + lua_tointeger(L, lua_upvalueindex(3)); start <= my.subjectEnd; start += 1) {
        const char *end = attempt_anew(&my, start, pattern);
        if (end == NULL || end - subject == lastEnd) continue;
        lua_pushinteger(L, end - subject);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(&my, start, end);
    }
    lua_pushinteger(L, (lua_Integer)bytes + 1);
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

static int pattern_gmatch(lua_State *L) {
    size_t bytes;
    luaL_checklstring(L, 1, &bytes);
    luaL_checkstring(L, 2);
    size_t offset = offset_of(clua_opt_integer(L, 3, 1), bytes);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(offset > bytes ? bytes + 1 : offset));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

// MARK: gsub

/// Adds the replacement text at index 3 with its `%0` to `%9` filled in.
static void add_text(search *my, luaL_Buffer *out, const char *start, const char *end) {
    size_t bytes;
    const char *text = lua_tolstring(my->L, 3, &bytes);
    clua_check_text_bytes(my->L, luaL_bufflen(out) + bytes);
    steps(my, bytes / 4);
    for (const char *last = text + bytes; text < last; text += 1) {
        if (*text != '%') {
            luaL_addchar(out, *text);
            continue;
        }
        text += 1;
        if (text < last && *text == '%') {
            luaL_addchar(out, '%');
        } else if (text < last && *text == '0') {
            luaL_addlstring(out, start, (size_t)(end - start));
        } else if (text < last && isdigit((unsigned char)*text)) {
            push_capture(my, *text - '1', start, end);
            luaL_tolstring(my->L, -1, NULL);
            lua_remove(my->L, -2);
            luaL_addvalue(out);
        } else {
            luaL_error(my->L, "invalid use of '%%' in replacement string");
        }
    }
}

/// Adds what replaces the match: a text, a table's field or a function's result; nil and false keep the match.
static void add_replacement(search *my, luaL_Buffer *out, const char *start, const char *end, int kind) {
    lua_State *L = my->L;
    if (kind == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(my, start, end), 1);
    } else if (kind == LUA_TTABLE) {
        push_capture(my, 0, start, end);
        lua_gettable(L, 3);
    } else {
        add_text(my, out, start, end);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(out, start, (size_t)(end - start));
        return;
    }
    if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(out);
}

static int pattern_gsub(lua_State *L) {
    size_t bytes, patternBytes;
    const char *subject = luaL_checklstring(L, 1, &bytes);
    const char *pattern = luaL_checklstring(L, 2, &patternBytes);
    int kind = lua_type(L, 3);
    luaL_argexpected(L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION || kind == LUA_TTABLE, 3,
        "string/function/table");
    lua_Integer most = clua_opt_integer(L, 4, (lua_Integer)bytes + 1), count = 0;
    lua_settop(L, 3);
    search my = prepare(L, subject, bytes, pattern, patternBytes);
    bool isAnchored = patternBytes > 0 && *pattern == '^';
    if (isAnchored) pattern += 1;
    const char *at = subject, *lastEnd = NULL;
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    while (count < most) {
        const char *end = attempt_anew(&my, at, pattern);
        if (end != NULL && end != lastEnd) {
            count += 1;
            add_replacement(&my, &out, at, end, kind);
            clua_check_text_bytes(L, luaL_bufflen(&out));
            at = lastEnd = end;
        } else if (at < my.subjectEnd) {
            luaL_addchar(&out, *at);
            at += 1;
        } else {
            break;
        }
        if (isAnchored) break;
    }
    luaL_addlstring(&out, at, (size_t)(my.subjectEnd - at));
    luaL_pushresult(&out);
    lua_pushinteger(L, count);
    return 2;
}

/// Adds the four functions to the table on top.
void clua_open_patterns(lua_State *L) {
    static const luaL_Reg functions[] = {{"find", pattern_find}, {"match", pattern_match}, {"gmatch", pattern_gmatch},
        {"gsub", pattern_gsub}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
