// The accounts of a state: its allocator, its budget, and the looks at both that instructions, charges and allocations
// cause.
#define _GNU_SOURCE
#include "CLua.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/// Instructions between two looks at the budget: a clock read costs about 25 ns, 256 instructions about 1 µs. Fewer
/// while there are texts with which one instruction takes milliseconds: `for i = 1, text`, a comparison, an argument
/// that is to be a number.
enum { HOOK_INSTRUCTIONS = 256, HOOK_INSTRUCTIONS_WITH_LONG_TEXTS = 16 };
/// From here on a text is long in that sense.
enum { LONG_TEXT_BYTES = 512 << 10 };
/// Large pieces allocated between two looks at the clock: C functions that work on large strings never reach the hook.
enum { LARGE_BYTES = 16 << 10, UNCHECKED_BYTES = 1 << 20 };
/// A block that is made twice as large within one instruction, with this time in between, is a stack on which Lua piles up
/// one object.
enum { PILING_NANOSECONDS = 30000000 };
/// A table whose part is this large takes `next` microseconds where it is empty.
enum { LARGE_TABLE_BYTES = 256 << 10 };
/// Blocks smaller than this are looked at no further.
enum { LARGE_BLOCK_BYTES = 64 << 10 };
/// What a full collection takes for a MiB in use: it can't be interrupted.
enum { COLLECTION_NANOSECONDS_A_MIB = 1000000 };
/// By how much a script may be late for it.
enum { LATE_NANOSECONDS_MAX = 80000000 };
/// What is collected after a script that had no time for it.
enum { COLLECTION_NANOSECONDS_A_CALL = 20000000, COLLECTION_STEP_KIB = 256 };

/// So much of host objects causes a collection; in a small state less does.
enum { OBJECT_DEBT_BYTES_MAX = 16 << 20 };

/// The accounts of the script that runs on this thread, for what the C library does on its behalf.
static __thread clua_control *runningControl;

uint64_t clua_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t thread_cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

clua_control *clua_control_of(lua_State *L) { return *(clua_control **)lua_getextraspace(L); }

bool clua_is_cancelled(clua_control *control) { return __atomic_load_n(&control->cancelled, __ATOMIC_RELAXED) != 0; }

void clua_cancel(clua_control *control, bool cancelled) {
    __atomic_store_n(&control->cancelled, cancelled ? 1 : 0, __ATOMIC_RELAXED);
}

// MARK: What the call uses itself

/// A thread's CPU time costs a system call: it is read at the second look of a slice, before which most calls end.
static void note_slice(clua_control *control) {
    if (control->sliceCpuNanoseconds != 0) return;
    control->sliceTicks += 1;
    if (control->sliceTicks == 2) control->sliceCpuNanoseconds = thread_cpu();
}

static void begin_slice(clua_control *control) {
    control->sliceCpuNanoseconds = 0;
    control->sliceTicks = 0;
    // What was freed between two slices was garbage.
    size_t freed = control->usedBytes < control->endBytes ? control->endBytes - control->usedBytes : 0;
    control->abandonedBytes -= freed < control->abandonedBytes ? freed : control->abandonedBytes;
    if (control->abandonedBytes > control->usedBytes) control->abandonedBytes = control->usedBytes;
    control->heldBytes = control->usedBytes - control->abandonedBytes;
}

static void end_slice(clua_control *control) {
    // Of a call that was stopped all but what was held before it is now garbage; of others there is no more of it than that.
    size_t rest = control->usedBytes > control->heldBytes ? control->usedBytes - control->heldBytes : 0;
    if (control->aborted != CLUA_NOT_ABORTED || control->abandonedBytes > rest) control->abandonedBytes = rest;
    control->endBytes = control->usedBytes;
    control->usage.grownBytes += (int64_t)(control->usedBytes - control->abandonedBytes) - (int64_t)control->heldBytes;
    // Below zero others' garbage was collected: counted on, it would hide what the call takes from now on.
    if (control->usage.grownBytes < 0) control->usage.grownBytes = 0;
    if (control->sliceCpuNanoseconds != 0) control->usage.cpuNanoseconds += thread_cpu() - control->sliceCpuNanoseconds;
}

/// Whether others had more of the call's time than it had itself.
static bool others_took_time(clua_control *control) {
    uint64_t used = control->usage.cpuNanoseconds;
    if (control->sliceCpuNanoseconds != 0) used += thread_cpu() - control->sliceCpuNanoseconds;
    return used < control->usage.grantedNanoseconds / 2;
}

/// Whether most of the memory that `wanted` bytes would be too many of is not this call's. What a state leases is one
/// script's alone, what it holds from earlier calls too; and what stopped calls left behind nobody holds.
static bool others_took_memory(clua_control *control, size_t wanted) {
    int64_t before = (int64_t)control->heldBytes - control->usage.grownBytes;
    int64_t own = control->account != NULL ? (int64_t)wanted : (int64_t)wanted - before;
    return own < (int64_t)(control->ceilingBytes / 2);
}

// MARK: Stopping

static void budget_hook(lua_State *L, lua_Debug *activation);

/// Whether the deadline has passed; for a call whose time has not begun, it begins now.
static bool is_late(clua_control *control, uint64_t now) {
    if (control->yieldProcessor != NULL) control->yieldProcessor(now);
    note_slice(control);
    if (control->deadlineNanoseconds != 0) return now >= control->deadlineNanoseconds;
    control->deadlineNanoseconds = now + control->methodNanoseconds;
    if (control->sliceNanoseconds != 0) control->sliceEndNanoseconds = now + control->sliceNanoseconds;
    return false;
}

static int reason_to_stop(clua_control *control, uint64_t now) {
    if (control->aborted != CLUA_NOT_ABORTED) return control->aborted;
    if (clua_is_cancelled(control)) return CLUA_ABORTED_CANCELLED;
    if (control->instructionsLeft < 0) return CLUA_ABORTED_INSTRUCTIONS;
    if (!is_late(control, now)) return CLUA_NOT_ABORTED;
    control->abortedByOthers = others_took_time(control);
    return CLUA_ABORTED_DEADLINE;
}

/// Lua goes through all activations of the coroutine to set a hook: it is done only for a change.
static void set_hook(lua_State *L, int instructions) {
    if (lua_gethookcount(L) != instructions) lua_sethook(L, budget_hook, LUA_MASKCOUNT, instructions);
}

/// Stops the script at its next instruction, from where nothing may be raised.
static void stop_soon(clua_control *control, int reason) {
    if (control->aborted == CLUA_NOT_ABORTED) control->aborted = reason;
    if (control->running != NULL) set_hook(control->running, 1);
}

/// The same for want of memory: the call would have `wanted` bytes of the state.
static void stop_for_memory(clua_control *control, size_t wanted) {
    if (control->aborted == CLUA_NOT_ABORTED) control->abortedByOthers = others_took_memory(control, wanted);
    stop_soon(control, CLUA_ABORTED_MEMORY);
}

const char *clua_abort_message(int reason) {
    switch (reason) {
        case CLUA_ABORTED_INSTRUCTIONS: return "too many instructions";
        case CLUA_ABORTED_DEADLINE: return "too much time";
        case CLUA_ABORTED_MEMORY: return "too much memory";
        case CLUA_ABORTED_TEXT: return "too long a text";
        case CLUA_ABORTED_WRITES: return "too many writes to the object";
        default: return "cancelled";
    }
}

bool clua_is_overdue(clua_control *control) { return reason_to_stop(control, clua_now()) != CLUA_NOT_ABORTED; }

void clua_push_abort_message(lua_State *L) { lua_pushstring(L, clua_abort_message(clua_control_of(L)->aborted)); }

void clua_abort(lua_State *L, int reason) {
    clua_control *control = clua_control_of(L);
    if (control->aborted == CLUA_NOT_ABORTED) control->aborted = reason;
    // From here every instruction of this thread raises, so that no __close method or handler can run on.
    set_hook(L, 1);
    // In a hook the script's function is at level 0, below a C function at level 1.
    luaL_where(L, 0);
    if (lua_rawlen(L, -1) == 0) luaL_where(L, 1);
    clua_push_abort_message(L);
    lua_concat(L, 2);
    lua_error(L);
}

void clua_look(lua_State *L) {
    clua_control *control = clua_control_of(L);
    control->unlooked = 0;
    int reason = reason_to_stop(control, clua_now());
    if (reason != CLUA_NOT_ABORTED) clua_abort(L, reason);
}

void clua_charge(lua_State *L, int64_t instructions) {
    clua_control *control = clua_control_of(L);
    if (control->aborted != CLUA_NOT_ABORTED) clua_abort(L, control->aborted);
    if (instructions >= control->instructionsLeft) clua_abort(L, CLUA_ABORTED_INSTRUCTIONS);
    control->instructionsLeft -= instructions;
    control->ticks += 1;
    // Many small charges are looked at as one large one is.
    control->unlooked += instructions;
    if (control->unlooked >= HOOK_INSTRUCTIONS) clua_look(L);
}

void clua_charge_bytes(lua_State *L, size_t bytes) { clua_charge(L, (int64_t)(bytes / CLUA_BYTES_AN_INSTRUCTION)); }

static void budget_hook(lua_State *L, lua_Debug *activation) {
    (void)activation;
    clua_control *control = clua_control_of(L);
    if (control->depth == 0) return;
    control->ticks += 1;
    control->instructionsLeft -= lua_gethookcount(L);
    control->unlooked = 0;
    // What it asks of the host before its first write may still fail, and the first write itself for want of memory.
    if (control->writesDirectly) return;
    uint64_t now = clua_now();
    int reason = reason_to_stop(control, now);
    if (reason != CLUA_NOT_ABORTED) clua_abort(L, reason);
    if (control->sliceEndNanoseconds != 0 && now >= control->sliceEndNanoseconds && L == control->hostThread &&
        lua_isyieldable(L)) {
        control->slicedOut = true;
        lua_yield(L, 0);
    }
}

/// How many instructions may come before the next look: a budget that is smaller ends where it ends. Never 1, which is how a
/// script that was stopped is known.
static int hook_instructions(clua_control *control) {
    int64_t most = control->longTextCount > 0 ? HOOK_INSTRUCTIONS_WITH_LONG_TEXTS : HOOK_INSTRUCTIONS;
    if (control->instructionsLeft >= most) return (int)most;
    return control->instructionsLeft < 1 ? 2 : (int)control->instructionsLeft + 1;
}

bool clua_was_stopped(lua_State *thread) { return lua_gethookcount(thread) == 1; }

lua_State *clua_run_on(lua_State *L, clua_control *control) {
    lua_State *before = control->running;
    control->running = L;
    set_hook(L, hook_instructions(control));
    return before;
}

// MARK: Memory

/// Texts longer than LONG_TEXT_BYTES, by address: what is freed does not say what it was.
static void note_long_text(clua_control *control, void *text) {
    if (control->longTextCount == control->longTextRoom) {
        size_t room = (size_t)control->longTextRoom * 2 + 16;
        void **grown = realloc(control->longTexts, room * sizeof *grown);
        if (grown == NULL) abort();
        control->longTexts = grown;
        control->longTextRoom = (int32_t)room;
    }
    control->longTexts[control->longTextCount++] = text;
    if (control->longTextCount == 1 && control->running != NULL && control->aborted == CLUA_NOT_ABORTED)
        set_hook(control->running, HOOK_INSTRUCTIONS_WITH_LONG_TEXTS);
}

static void forget_block(clua_control *control, void *block, size_t bytes) {
    control->largeBlocks -= bytes >= LARGE_TABLE_BYTES;
    clua_forget_nodes(control, block, bytes);
    if (bytes <= LONG_TEXT_BYTES) return;
    for (int32_t at = control->longTextCount - 1; at >= 0; at -= 1) {
        if (control->longTexts[at] != block) continue;
        control->longTexts[at] = control->longTexts[--control->longTextCount];
        return;
    }
}

/// Looks at the clock once much was allocated in large pieces.
static void look_at_allocation(clua_control *control, size_t bytes) {
    control->unchecked += bytes;
    if (control->unchecked < UNCHECKED_BYTES) return;
    control->unchecked = 0;
    int reason = reason_to_stop(control, clua_now());
    if (reason != CLUA_NOT_ABORTED) stop_soon(control, reason);
}

/// Whether a script may have `wanted` bytes in all. The first no makes Lua collect all garbage and ask again. That is
/// worth its time only where it frees much, and where there is time: a script that lives next to its ceiling would do
/// nothing else.
static bool may_have(clua_control *control, size_t wanted) {
    // The first no has collected it.
    if (control->collectedInNeed) control->abandonedBytes = 0;
    if (wanted <= control->limitBytes) {
        if (!control->collectedInNeed) return true;
        control->collectedInNeed = false;
        if (wanted > control->limitBytes / 8 * 7) stop_for_memory(control, wanted);
        return true;
    }
    bool hasCollected = control->collectedInNeed;
    uint64_t needed = (control->usedBytes >> 20) * COLLECTION_NANOSECONDS_A_MIB;
    if (!hasCollected && control->aborted == CLUA_NOT_ABORTED) {
        uint64_t now = clua_now();
        if (!is_late(control, now) && (now + needed) - LATE_NANOSECONDS_MAX < control->deadlineNanoseconds) {
            control->collectedInNeed = true;
            return false;
        }
        control->needsCollection = true;
    }
    control->collectedInNeed = false;
    stop_for_memory(control, wanted);
    // What it takes to end the script is small. Refused, Lua would collect for it.
    return wanted <= control->limitBytes + LARGE_BYTES;
}

void clua_note_no_memory(clua_control *control, int status) {
    if (status != LUA_ERRMEM || control->aborted != CLUA_NOT_ABORTED) return;
    control->aborted = CLUA_ABORTED_MEMORY;
    // While it collects Lua does not ask again: what it wanted was more than the limit.
    control->abortedByOthers = others_took_memory(control, control->limitBytes);
}

/// Goes on with the collection that a script had no time for.
static void collect_a_while(lua_State *L, clua_control *control) {
    control->needsCollection = false;
    uint64_t end = clua_now() + COLLECTION_NANOSECONDS_A_CALL;
    while (lua_gc(L, LUA_GCSTEP, COLLECTION_STEP_KIB) == 0 && clua_now() < end) continue;
}

/// For Lua a host object is a few bytes, whatever it holds: its collector would not run for their sake, and where it is out
/// of memory it calls no finalizers.
void clua_look_at_objects(lua_State *L) {
    clua_control *control = clua_control_of(L);
    if (control->objectDebt == 0) return;
    bool isOver = control->usedBytes > control->limitBytes;
    size_t luaBytes = control->usedBytes - control->objectBytes;
    size_t debtMax = control->ceilingBytes / 8 < OBJECT_DEBT_BYTES_MAX ? control->ceilingBytes / 8 : OBJECT_DEBT_BYTES_MAX;
    // What a collection takes is in proportion to what Lua has.
    if (debtMax < luaBytes / 4) debtMax = luaBytes / 4;
    if (!isOver && control->objectDebt <= debtMax) return;
    control->objectDebt = 0;
    uint64_t now = clua_now();
    uint64_t needed = (luaBytes >> 20) * COLLECTION_NANOSECONDS_A_MIB;
    bool hasTime = !is_late(control, now) && (now + needed) - LATE_NANOSECONDS_MAX < control->deadlineNanoseconds;
    if (hasTime) {
        lua_gc(L, LUA_GCCOLLECT);
    } else {
        control->needsCollection = true;
    }
    // Next to its ceiling a script would do nothing but collect.
    if (isOver && (!hasTime || control->usedBytes > control->limitBytes / 8 * 7)) {
        if (control->aborted == CLUA_NOT_ABORTED)
            control->abortedByOthers = others_took_memory(control, control->usedBytes);
        clua_abort(L, CLUA_ABORTED_MEMORY);
    }
    clua_look(L);
}

/// An object whose `__call` is itself, or another such object, is called by putting it before the arguments, again and
/// again until the stack is full: a million times, each moving all that is there. Nothing is seen of it but that stacks are
/// made, each twice as large as the last one, with no instruction in between.
static bool is_piling_up(clua_control *control, size_t bytes) {
    uint64_t now = clua_now();
    bool isLarger = bytes > control->grownBytes / 2 * 3 && bytes / 3 < control->grownBytes;
    bool isSame = isLarger && control->grownTicks == control->ticks;
    if (isSame && now - control->grownNanoseconds > PILING_NANOSECONDS) return true;
    control->grownBytes = bytes;
    control->grownTicks = control->ticks;
    control->grownNanoseconds = now;
    return false;
}

void *clua_allocate(void *context, void *block, size_t oldBytes, size_t newBytes) {
    clua_control *control = context;
    // Without a block it is the kind of object.
    bool isText = block == NULL && oldBytes == LUA_TSTRING;
    if (block == NULL) oldBytes = 0;
    if (newBytes == 0) {
        if (oldBytes >= LARGE_BLOCK_BYTES) forget_block(control, block, oldBytes);
        free(block);
        control->usedBytes -= oldBytes;
        return NULL;
    }
    if (newBytes > oldBytes) {
        size_t wanted = control->usedBytes - oldBytes + newBytes;
        if (wanted > control->limitBytes && control->extend != NULL) control->extend(control, wanted);
        if (control->unfailing > 0) {
            if (wanted > control->limitBytes) control->overran = true;
        } else {
            // `..` alone gets here: functions refuse before.
            if (isText && newBytes > CLUA_TEXT_BYTES_MAX + 64) {
                stop_soon(control, CLUA_ABORTED_TEXT);
                if (newBytes > 4 * (size_t)CLUA_TEXT_BYTES_MAX) return NULL;
            }
            if (newBytes >= LARGE_BLOCK_BYTES && block == NULL && !isText &&
                (clua_would_crowd(control, newBytes) || is_piling_up(control, newBytes))) {
                stop_soon(control, CLUA_ABORTED_INSTRUCTIONS);
                return NULL;
            }
            if ((control->collectedInNeed || wanted > control->limitBytes) && !may_have(control, wanted)) return NULL;
            if (newBytes >= LARGE_BYTES) look_at_allocation(control, newBytes);
        }
    }
    void *moved = realloc(block, newBytes);
    if (moved == NULL) {
        // Lua may not see a shrinking fail, and Swift no allocation at all.
        if (newBytes <= oldBytes) return block;
        if (control->unfailing > 0) abort();
        return NULL;
    }
    if (oldBytes >= LARGE_BLOCK_BYTES) forget_block(control, block, oldBytes);
    if (newBytes >= LARGE_BLOCK_BYTES) {
        control->largeBlocks += newBytes >= LARGE_TABLE_BYTES;
        if (isText && newBytes > LONG_TEXT_BYTES) note_long_text(control, moved);
        if (block == NULL && !isText) clua_note_nodes(control, moved, newBytes);
    }
    if (control->state.start == NULL) control->state = (clua_block){moved, newBytes};
    control->usedBytes = control->usedBytes - oldBytes + newBytes;
    if (control->usedBytes > control->peakBytes) control->peakBytes = control->usedBytes;
    return moved;
}

// MARK: Entries

clua_entry clua_enter(lua_State *L, clua_control *control) {
    clua_entry saved = {control->unfailing, control->hostThread, NULL, runningControl};
    if (control->depth == 0) {
        control->aborted = CLUA_NOT_ABORTED;
        control->abortedByOthers = false;
        begin_slice(control);
        control->unchecked = 0;
        control->unlooked = 0;
        control->collectedInNeed = false;
    }
    control->depth += 1;
    control->unfailing = 0;
    runningControl = control;
    saved.running = clua_run_on(L, control);
    return saved;
}

int clua_leave(lua_State *L, clua_control *control, clua_entry saved, int status) {
    control->depth -= 1;
    control->unfailing = saved.unfailing;
    control->hostThread = saved.hostThread;
    control->running = saved.running;
    runningControl = saved.control;
    clua_note_no_memory(control, status);
    if (control->depth == 0) {
        end_slice(control);
        if (control->needsCollection) collect_a_while(L, control);
    }
    if (control->aborted == CLUA_NOT_ABORTED || status == LUA_ERRRUN) return status;
    // What was written stays: the memory for it was refused at first, and there after a collection.
    if (control->writesDirectly && status == LUA_OK) return status;
    // It was to stop and came to its end before the next look, or Lua had no memory to say so.
    lua_checkstack(L, 1);
    clua_push_abort_message(L);
    return LUA_ERRRUN;
}

// MARK: Comparing texts

/// What Lua compares texts by, in the place of the C library's: piece by piece between zero bytes, the bytes in order,
/// as in the locale "C", with an eye on the clock. Once the script is to stop it says "differ", which ends the
/// comparison: what comes of it is not looked at.
int strcoll(const char *a, const char *b) {
    enum { PIECE_BYTES = 4096, PIECES_A_LOOK = 256 };
    clua_control *control = runningControl;
    if (control == NULL || control->depth == 0) return strcmp(a, b);
    for (;; a += PIECE_BYTES, b += PIECE_BYTES) {
        int order = strncmp(a, b, PIECE_BYTES);
        if (order != 0) return order;
        control->compared += 1;
        if (control->compared % PIECES_A_LOOK == 0) {
            if (control->aborted != CLUA_NOT_ABORTED) return 1;
            control->instructionsLeft -= PIECES_A_LOOK;
            if (control->compared % (PIECES_A_LOOK * 16) == 0) {
                int reason = reason_to_stop(control, clua_now());
                if (reason != CLUA_NOT_ABORTED) stop_soon(control, reason);
            }
        }
        if (strnlen(a, PIECE_BYTES) < PIECE_BYTES) return 0;
    }
}
