// States, protected entries, the compiler, garbage, the trampoline for callbacks, and host objects.
#include "CLua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/// A script larger than this is refused.
enum { SOURCE_BYTES_MAX = 1 << 20 };
/// The compiler gets its text in pieces of this, and looks at the clock before each: no hook interrupts it, and what it
/// looks up for a name or a jump can be in proportion to all of the text.
enum { SOURCE_PIECE_BYTES = 64 };
/// Compiling may take this long of a processor, without a deadline too. By the clock it may take longer: a process that is stopped
/// meanwhile, or gets no time, would be told that a script which it can't do without is too large.
enum { COMPILE_NANOSECONDS_MAX = 2000000000 };
/// What a callback costs besides what it charges.
enum { CALLBACK_INSTRUCTIONS = 16 };

// MARK: States

lua_State *clua_open(size_t limitBytes, void (*releaseObject)(void *object)) {
    clua_control *control = calloc(1, sizeof *control);
    if (control == NULL) return NULL;
    control->releaseObject = releaseObject;
    control->limitBytes = limitBytes;
    control->unfailing = 1;
    control->instructionsLeft = INT64_MAX;
    control->deadlineNanoseconds = UINT64_MAX;
    lua_State *L = lua_newstate(clua_allocate, control);
    if (L == NULL) {
        free(control);
        return NULL;
    }
    // Every coroutine inherits both the accounts and the hook from the thread that makes it.
    *(clua_control **)lua_getextraspace(L) = control;
    clua_run_on(L, control);
    control->running = NULL;
    lua_pushcfunction(L, clua_open_sandbox);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        clua_close(L);
        return NULL;
    }
    return L;
}

void clua_close(lua_State *L) {
    clua_control *control = clua_control_of(L);
    lua_close(L);
    free(control->longTexts);
    free(control->nodes);
    free(control->trace);
    free(control);
}

int clua_pcall(lua_State *L, int arguments, int results) {
    clua_control *control = clua_control_of(L);
    int handler = lua_gettop(L) - arguments;
    lua_checkstack(L, 1);
    lua_pushcfunction(L, clua_handle_error);
    lua_insert(L, handler);
    clua_entry saved = clua_enter(L, control);
    int status = clua_leave(L, control, saved, lua_pcall(L, arguments, results, handler));
    lua_remove(L, handler);
    return status;
}

int clua_resume(lua_State *thread, lua_State *from, int arguments, int *results) {
    clua_control *control = clua_control_of(thread);
    clua_entry saved = clua_enter(thread, control);
    control->hostThread = thread;
    control->slicedOut = false;
    int status = lua_resume(thread, from, arguments, results);
    // What failed still has its functions.
    if (status > LUA_YIELD) clua_note_trace(thread);
    return clua_leave(thread, control, saved, status);
}

/// Of a processor, by this thread so far. Costs a system call.
static uint64_t thread_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/// What is left of a text to compile, and until when.
typedef struct {
    const char *at;
    size_t bytes;
    uint64_t end;
} source;

static const char *next_piece(lua_State *L, void *context, size_t *bytes) {
    source *my = context;
    clua_look(L);
    if (thread_nanoseconds() >= my->end) clua_abort(L, CLUA_ABORTED_DEADLINE);
    const char *piece = my->at;
    *bytes = my->bytes < SOURCE_PIECE_BYTES ? my->bytes : SOURCE_PIECE_BYTES;
    my->at += *bytes;
    my->bytes -= *bytes;
    return piece;
}

int clua_load(lua_State *L, const char *text, size_t bytes, const char *name) {
    if (bytes > SOURCE_BYTES_MAX) {
        lua_pushfstring(L, "%s: a script may have %d bytes", name, SOURCE_BYTES_MAX);
        return LUA_ERRSYNTAX;
    }
    clua_control *control = clua_control_of(L);
    clua_entry saved = clua_enter(L, control);
    lua_pushfstring(L, "=%s", name);
    source my = {text, bytes, thread_nanoseconds() + COMPILE_NANOSECONDS_MAX};
    int status = lua_load(L, next_piece, &my, lua_tostring(L, -1), "t");
    status = clua_leave(L, control, saved, status);
    lua_remove(L, -2);
    return status;
}

void clua_bind(lua_State *L) { lua_setupvalue(L, -2, 1); }

// MARK: Garbage

/// A collection in steps begins again when memory has grown by a tenth, and pays for each 2 KiB by some 2,500 slots.
enum { PAUSE_PERCENT = 110, STEP_PERCENT = 20, STEP_LOG2_BYTES = 11 };

void clua_collect_young(lua_State *L) { lua_gc(L, LUA_GCGEN, 0, 0); }

static void leave_sentinel(lua_State *L);

/// Nothing refers to a sentinel: it is collected at the end of each collection, after all other garbage, and leaves the
/// next.
static int end_of_collection(lua_State *L) {
    clua_control *control = clua_control_of(L);
    control->collections += 1;
    control->unfailing += 1;
    leave_sentinel(L);
    control->unfailing -= 1;
    return 0;
}

static char sentinelKey;

static void leave_sentinel(lua_State *L) {
    lua_newuserdatauv(L, 0, 0);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &sentinelKey) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, end_of_collection);
        lua_setfield(L, -2, "__gc");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &sentinelKey);
    }
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void clua_collect_in_steps(lua_State *L) {
    lua_gc(L, LUA_GCINC, PAUSE_PERCENT, STEP_PERCENT, STEP_LOG2_BYTES);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &sentinelKey) == LUA_TNIL) leave_sentinel(L);
    lua_pop(L, 1);
}

void clua_collect_step(lua_State *L) { lua_gc(L, LUA_GCSTEP, 0); }
void clua_collect(lua_State *L) { lua_gc(L, LUA_GCCOLLECT); }

// MARK: Macros as functions

void clua_pop(lua_State *L, int count) { lua_pop(L, count); }
void clua_new_table(lua_State *L) { lua_newtable(L); }
int clua_upvalue_index(int index) { return lua_upvalueindex(index); }
int64_t clua_to_integer(lua_State *L, int index) { return lua_tointegerx(L, index, NULL); }
double clua_to_number(lua_State *L, int index) { return lua_tonumberx(L, index, NULL); }

// MARK: Callbacks and host objects

/// In the registry: the error that a callback raised last; false before the first, so that to note one takes no memory.
static char raisedKey;

void clua_note_raised(lua_State *L) {
    lua_checkstack(L, 1);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &raisedKey);
}

bool clua_is_raised(lua_State *L) {
    lua_checkstack(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &raisedKey);
    bool isRaised = lua_rawequal(L, -1, -2);
    lua_pop(L, 1);
    return isRaised && lua_type(L, -1) == LUA_TSTRING;
}

/// Runs while no Swift frame is live: only here may the outcome of a callback raise or yield.
static int trampoline(lua_State *L) {
    clua_callback callback = (clua_callback)lua_touserdata(L, lua_upvalueindex(1));
    clua_control *control = clua_control_of(L);
    int32_t unfailing = control->unfailing;
    control->unfailing = 1;
    int outcome = callback(L, lua_touserdata(L, lua_upvalueindex(2)));
    control->unfailing = unfailing;
    // What the host has charged is looked at here.
    clua_charge(L, CALLBACK_INSTRUCTIONS);
    clua_look_at_objects(L);
    if (outcome >= 0) return outcome;
    if (outcome == CLUA_RAISE) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
        clua_note_raised(L);
        return lua_error(L);
    }
    if (L != control->hostThread || !lua_isyieldable(L))
        return luaL_error(L, "cannot wait for an answer inside a coroutine, an iterator or a callback");
    return lua_yield(L, CLUA_YIELD_BASE - outcome);
}

void clua_where(lua_State *L, char *text, size_t bytes) {
    lua_Debug place;
    text[0] = 0;
    if (!lua_getstack(L, 1, &place)) return;
    lua_getinfo(L, "Sl", &place);
    if (place.currentline > 0) snprintf(text, bytes, "%s:%d: ", place.short_src, place.currentline);
}

void clua_push_callback(lua_State *L, clua_callback callback, void *context) {
    lua_pushlightuserdata(L, (void *)callback);
    lua_pushlightuserdata(L, context);
    lua_pushcclosure(L, trampoline, 2);
}

/// What a userdata owns, in a list of all that its state owns.
struct clua_box {
    void *object;  ///< NULL once it was let go of
    size_t bytes;
    clua_box *next;
    clua_box **link;
};

static void let_go(clua_control *control, clua_box *box) {
    if (box->object == NULL) return;
    void *object = box->object;
    box->object = NULL;
    *box->link = box->next;
    if (box->next != NULL) box->next->link = box->link;
    control->usedBytes -= box->bytes;
    control->objectBytes -= box->bytes;
    control->unfailing += 1;
    control->releaseObject(object);
    control->unfailing -= 1;
}

static int collect_object(lua_State *L) {
    clua_box *box = lua_touserdata(L, 1);
    if (box != NULL) let_go(clua_control_of(L), box);
    return 0;
}

void clua_release_objects(lua_State *L) {
    clua_control *control = clua_control_of(L);
    while (control->boxes != NULL) let_go(control, control->boxes);
}

/// Nothing is refused here, where nothing may raise: the trampoline looks at it once the callback has returned.
static void account_for(clua_control *control, size_t bytes) {
    size_t wanted = control->usedBytes + bytes;
    if (wanted > control->limitBytes && control->extend != NULL) control->extend(control, wanted);
    if (wanted > control->limitBytes) control->overran = true;
    control->usedBytes = wanted;
    if (wanted > control->peakBytes) control->peakBytes = wanted;
    control->objectBytes += bytes;
    control->objectDebt += bytes;
}

void clua_push_object(lua_State *L, void *object, size_t bytes, size_t leased, int metatable) {
    metatable = lua_absindex(L, metatable);
    clua_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    clua_control *control = clua_control_of(L);
    account_for(control, bytes);
    control->objectDebt += leased;
    *box = (clua_box){object, bytes, control->boxes, &control->boxes};
    if (box->next != NULL) box->next->link = &box->next;
    control->boxes = box;
    lua_pushvalue(L, metatable);
    lua_setmetatable(L, -2);
}

void clua_push_object_metatable(lua_State *L, const char *typeName, int methods) {
    methods = lua_absindex(L, methods);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, collect_object);
    lua_setfield(L, -2, "__gc");
    lua_pushstring(L, typeName);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

void *clua_to_object(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TUSERDATA) return NULL;
    return ((clua_box *)lua_touserdata(L, index))->object;
}
