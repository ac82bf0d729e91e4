// States, their allocator, the budget hook, protected entries and the trampoline for callbacks.
#include "CLua.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/// Instructions between two looks at the budget: a clock read costs about 25 ns, 256 instructions about 1 µs.
enum { HOOK_INSTRUCTIONS = 256 };
/// Large pieces allocated between two looks at the clock: C functions that work on large strings never reach the hook.
enum { LARGE_BYTES = 16 << 10, UNCHECKED_BYTES = 1 << 20 };
/// A script larger than this is refused: compiling is not interrupted by the hook.
enum { SOURCE_BYTES_MAX = 1 << 20 };

uint64_t clua_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

clua_control *clua_control_of(lua_State *L) { return *(clua_control **)lua_getextraspace(L); }

bool clua_is_cancelled(clua_control *control) { return __atomic_load_n(&control->cancelled, __ATOMIC_RELAXED) != 0; }

void clua_cancel(clua_control *control, bool cancelled) {
    __atomic_store_n(&control->cancelled, cancelled ? 1 : 0, __ATOMIC_RELAXED);
}

// MARK: Memory

/// Whether the deadline has passed; for a call whose time has not begun, it begins now.
static bool is_late(clua_control *control, uint64_t now) {
    if (control->deadlineNanoseconds != 0) return now >= control->deadlineNanoseconds;
    control->deadlineNanoseconds = now + control->methodNanoseconds;
    if (control->sliceNanoseconds != 0) control->sliceEndNanoseconds = now + control->sliceNanoseconds;
    return false;
}

/// False when a large allocation comes after the deadline: the caller then sees "not enough memory", and the abort
/// reason says what it was.
static bool is_in_time(clua_control *control, size_t bytes) {
    if (bytes < LARGE_BYTES || control->unfailing > 0) return true;
    control->unchecked += bytes;
    if (control->unchecked < UNCHECKED_BYTES) return true;
    if (!is_late(control, clua_now())) {
        control->unchecked = 0;
        return true;
    }
    if (control->aborted == CLUA_NOT_ABORTED) control->aborted = CLUA_ABORTED_DEADLINE;
    return false;
}

static void *allocate(void *context, void *block, size_t oldBytes, size_t newBytes) {
    clua_control *control = context;
    if (block == NULL) oldBytes = 0;  // it is then the kind of object
    if (newBytes == 0) {
        free(block);
        control->usedBytes -= oldBytes;
        return NULL;
    }
    if (newBytes > oldBytes) {
        size_t wanted = control->usedBytes - oldBytes + newBytes;
        if (wanted > control->limitBytes) {
            if (control->unfailing == 0) return NULL;
            control->overran = true;
        }
        if (!is_in_time(control, newBytes)) return NULL;
    }
    void *moved = realloc(block, newBytes);
    if (moved == NULL) {
        // Lua may not see a shrinking fail, and Swift no allocation at all.
        if (newBytes <= oldBytes) return block;
        if (control->unfailing > 0) abort();
        return NULL;
    }
    control->usedBytes = control->usedBytes - oldBytes + newBytes;
    if (control->usedBytes > control->peakBytes) control->peakBytes = control->usedBytes;
    return moved;
}

// MARK: Budget

static const char *abort_message(int reason) {
    switch (reason) {
        case CLUA_ABORTED_INSTRUCTIONS: return "too many instructions";
        case CLUA_ABORTED_DEADLINE: return "too much time";
        case CLUA_ABORTED_MEMORY: return "too much memory";
        default: return "cancelled";
    }
}

static void budget_hook(lua_State *L, lua_Debug *activation);

void clua_abort(lua_State *L, int reason) {
    clua_control *control = clua_control_of(L);
    if (control->aborted == CLUA_NOT_ABORTED) control->aborted = reason;
    // From here every instruction of this thread raises, so that no __close method or handler can run on.
    lua_sethook(L, budget_hook, LUA_MASKCOUNT, 1);
    // In a hook the script's function is at level 0, below a C function at level 1.
    luaL_where(L, 0);
    if (lua_rawlen(L, -1) == 0) luaL_where(L, 1);
    lua_pushstring(L, abort_message(control->aborted));
    lua_concat(L, 2);
    lua_error(L);
}

void clua_charge(lua_State *L, int64_t instructions) {
    clua_control *control = clua_control_of(L);
    if (control->aborted != CLUA_NOT_ABORTED) clua_abort(L, control->aborted);
    if (instructions >= control->instructionsLeft) clua_abort(L, CLUA_ABORTED_INSTRUCTIONS);
    control->instructionsLeft -= instructions;
    if (instructions >= HOOK_INSTRUCTIONS && is_late(control, clua_now())) clua_abort(L, CLUA_ABORTED_DEADLINE);
}

static void budget_hook(lua_State *L, lua_Debug *activation) {
    (void)activation;
    clua_control *control = clua_control_of(L);
    if (control->depth == 0) return;
    if (control->aborted != CLUA_NOT_ABORTED) clua_abort(L, control->aborted);
    if (__atomic_load_n(&control->cancelled, __ATOMIC_RELAXED)) clua_abort(L, CLUA_ABORTED_CANCELLED);
    control->instructionsLeft -= HOOK_INSTRUCTIONS;
    if (control->instructionsLeft < 0) clua_abort(L, CLUA_ABORTED_INSTRUCTIONS);
    uint64_t now = clua_now();
    if (is_late(control, now)) clua_abort(L, CLUA_ABORTED_DEADLINE);
    if (control->sliceEndNanoseconds != 0 && now >= control->sliceEndNanoseconds && L == control->hostThread &&
        lua_isyieldable(L)) {
        control->slicedOut = true;
        lua_yield(L, 0);
    }
}

// MARK: States

lua_State *clua_open(size_t limitBytes, void (*releaseObject)(void *object)) {
    clua_control *control = calloc(1, sizeof *control);
    if (control == NULL) return NULL;
    control->releaseObject = releaseObject;
    control->limitBytes = limitBytes;
    control->unfailing = 1;
    control->instructionsLeft = INT64_MAX;
    control->deadlineNanoseconds = UINT64_MAX;
    lua_State *L = lua_newstate(allocate, control);
    if (L == NULL) {
        free(control);
        return NULL;
    }
    // Every coroutine inherits both the accounts and the hook from the thread that makes it.
    *(clua_control **)lua_getextraspace(L) = control;
    lua_sethook(L, budget_hook, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
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
    free(control);
}

/// What an entry changes and puts back when it leaves.
typedef struct {
    int32_t unfailing;
    lua_State *hostThread;
} entry;

static entry enter(lua_State *L, clua_control *control) {
    entry saved = {control->unfailing, control->hostThread};
    if (control->depth == 0) {
        control->aborted = CLUA_NOT_ABORTED;
        control->unchecked = 0;
    }
    control->depth += 1;
    control->unfailing = 0;
    if (lua_gethookcount(L) != HOOK_INSTRUCTIONS) lua_sethook(L, budget_hook, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
    return saved;
}

static int leave(clua_control *control, entry saved, int status) {
    control->depth -= 1;
    control->unfailing = saved.unfailing;
    control->hostThread = saved.hostThread;
    if (status == LUA_ERRMEM && control->aborted == CLUA_NOT_ABORTED) control->aborted = CLUA_ABORTED_MEMORY;
    return status;
}

int clua_pcall(lua_State *L, int arguments, int results) {
    clua_control *control = clua_control_of(L);
    entry saved = enter(L, control);
    return leave(control, saved, lua_pcall(L, arguments, results, 0));
}

int clua_resume(lua_State *thread, lua_State *from, int arguments, int *results) {
    clua_control *control = clua_control_of(thread);
    entry saved = enter(thread, control);
    control->hostThread = thread;
    control->slicedOut = false;
    return leave(control, saved, lua_resume(thread, from, arguments, results));
}

int clua_load(lua_State *L, const char *source, size_t bytes, const char *name) {
    if (bytes > SOURCE_BYTES_MAX) {
        lua_pushfstring(L, "%s: a script may have %d bytes", name, SOURCE_BYTES_MAX);
        return LUA_ERRSYNTAX;
    }
    clua_control *control = clua_control_of(L);
    entry saved = enter(L, control);
    lua_pushfstring(L, "=%s", name);
    int status = leave(control, saved, luaL_loadbufferx(L, source, bytes, lua_tostring(L, -1), "t"));
    lua_remove(L, -2);
    return status;
}

void clua_bind(lua_State *L) { lua_setupvalue(L, -2, 1); }

// MARK: Garbage

/// A collection in steps begins again when memory has grown by a tenth, and pays for each 2 KiB by some 2,500 slots.
enum { PAUSE_PERCENT = 110, STEP_PERCENT = 20, STEP_LOG2_BYTES = 11 };

void clua_collect_young(lua_State *L) { lua_gc(L, LUA_GCGEN, 0, 0); }

static void leave_sentinel(lua_State *L);

/// Nothing refers to a sentinel: it is collected at the end of each collection, after all other garbage, and leaves the next.
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

/// Runs while no Swift frame is live: only here may the outcome of a callback raise or yield.
static int trampoline(lua_State *L) {
    clua_callback callback = (clua_callback)lua_touserdata(L, lua_upvalueindex(1));
    clua_control *control = clua_control_of(L);
    int32_t unfailing = control->unfailing;
    control->unfailing = 1;
    int outcome = callback(L, lua_touserdata(L, lua_upvalueindex(2)));
    control->unfailing = unfailing;
    if (control->aborted != CLUA_NOT_ABORTED) clua_abort(L, control->aborted);
    if (outcome >= 0) return outcome;
    if (outcome == CLUA_RAISE) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
        return lua_error(L);
    }
    if (L != control->hostThread || !lua_isyieldable(L))
        return luaL_error(L, "cannot wait for an answer inside a coroutine, an iterator or a callback");
    return lua_yield(L, CLUA_YIELD_BASE - outcome);
}

void clua_push_callback(lua_State *L, clua_callback callback, void *context) {
    lua_pushlightuserdata(L, (void *)callback);
    lua_pushlightuserdata(L, context);
    lua_pushcclosure(L, trampoline, 2);
}

/// What a userdata owns, in a list of all that its state owns.
struct clua_box {
    void *object;  ///< NULL once it was let go of
    clua_box *next;
    clua_box **link;
};

static void let_go(clua_control *control, clua_box *box) {
    if (box->object == NULL) return;
    void *object = box->object;
    box->object = NULL;
    *box->link = box->next;
    if (box->next != NULL) box->next->link = box->link;
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

void clua_push_object(lua_State *L, void *object, int metatable) {
    metatable = lua_absindex(L, metatable);
    clua_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    clua_control *control = clua_control_of(L);
    *box = (clua_box){object, control->boxes, &control->boxes};
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
