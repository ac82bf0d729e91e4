// Where a script was when it failed: file, line and name of each Lua function under way, written as text into memory of its
// own, so that to note it needs none of Lua's and can't fail.
#include "CLua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Levels that are looked at: functions of the host are among them, and are left out.
enum { LEVELS_MAX = 64 };
/// A line's text; a longer one is cut.
enum { LINE_BYTES_MAX = 192 };
enum { TRACE_BYTES_MAX = CLUA_TRACE_LINES_MAX * (LINE_BYTES_MAX + 1) };

/// `file:line: in function 'name'`, and the end of a line.
static int write_line(const lua_Debug *place, char *at) {
    int bytes = snprintf(at, LINE_BYTES_MAX, "%s:%d: ", place->short_src, place->currentline);
    char *rest = at + bytes;
    size_t room = LINE_BYTES_MAX - (size_t)bytes;
    if (*place->what == 'm') bytes += snprintf(rest, room, "in the main part of the file");
    else if (place->name != NULL) bytes += snprintf(rest, room, "in %s '%s'", *place->namewhat ? place->namewhat : "function", place->name);
    else bytes += snprintf(rest, room, "in the function at line %d", place->linedefined);
    if (bytes >= LINE_BYTES_MAX) bytes = LINE_BYTES_MAX - 1;
    at[bytes] = '\n';
    return bytes + 1;
}

void clua_note_trace(lua_State *L) {
    clua_control *control = clua_control_of(L);
    if (control->trace == NULL && (control->trace = malloc(TRACE_BYTES_MAX)) == NULL) return;
    control->traceBytes = 0;
    lua_Debug place;
    int lines = 0;
    for (int level = 0; level < LEVELS_MAX && lines < CLUA_TRACE_LINES_MAX && lua_getstack(L, level, &place); level += 1) {
        lua_getinfo(L, "Sln", &place);
        if (place.currentline <= 0) continue;
        control->traceBytes += (size_t)write_line(&place, control->trace + control->traceBytes);
        lines += 1;
    }
}

int clua_handle_error(lua_State *L) {
    clua_note_trace(L);
    return 1;
}
