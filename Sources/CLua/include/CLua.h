// Lua 5.4 for Swift: states with a memory ceiling, budgets that cannot be caught, and callbacks that never longjmp over
// a Swift frame.
//
// The rule: outside clua_pcall and clua_resume the allocator does not fail (it overruns its ceiling and notes it), so
// the pushes and raw accesses that Swift makes cannot raise. Inside, it does fail, and every raise ends in the
// protected entry. A callback into Swift is outside again.
#ifndef CLUA_H
#define CLUA_H
#include <lua5.4/lua.h>
#include <lua5.4/lauxlib.h>
#include <lua5.4/lualib.h>
#include <stdbool.h>
#include <stdint.h>

/// Why a call was aborted. Sticky: raised again through every pcall and coroutine until the outermost entry returns.
enum {
    CLUA_NOT_ABORTED = 0,
    CLUA_ABORTED_INSTRUCTIONS = 1,
    CLUA_ABORTED_DEADLINE = 2,
    CLUA_ABORTED_MEMORY = 3,
    CLUA_ABORTED_CANCELLED = 4,
    CLUA_ABORTED_TEXT = 5,    ///< it made a text longer than CLUA_TEXT_BYTES_MAX
    CLUA_ABORTED_WRITES = 6,  ///< one call wrote to its object more often than is remembered to undo it
};

/// What a callback returns when it is not the number of results on top of the stack.
enum {
    CLUA_RAISE = -1,       ///< raise the string on top
    CLUA_YIELD_BASE = -2,  ///< CLUA_YIELD_BASE - n: give the n values on top to the host and wait for its answer
};

typedef struct clua_box clua_box;

typedef struct {
    void *start;
    size_t bytes;
} clua_block;

enum {
    CLUA_VIEWS_KEPT = 64,
    /// How deep a table may lie in an object, which itself is at 0. Also what the codecs of values allow.
    CLUA_DEPTH_MAX = 59,
};

/// What one call has used itself, over all slices that it ran in: what tells its own doing from that of others.
typedef struct {
    uint64_t grantedNanoseconds;  ///< from its start to its deadline; 0: it has none
    uint64_t cpuNanoseconds;      ///< of slices that are over
    int64_t grownBytes;           ///< by how much what is held in the state grew in them
} clua_usage;

/// The accounts of one state, shared by its coroutines. Written by whoever owns the state; `cancelled` by any thread.
typedef struct clua_control {
    size_t usedBytes;
    size_t limitBytes;
    size_t peakBytes;
    size_t unchecked;              ///< bytes allocated in large pieces since the clock was last read
    uint32_t ticks;                ///< hooks and charges
    size_t grownBytes;             ///< the last large block but for texts: at how many ticks, and when
    uint32_t grownTicks;
    uint64_t grownNanoseconds;
    int64_t unlooked;              ///< instructions charged since then
    uint32_t compared;             ///< pieces of texts
    int32_t largeBlocks;           ///< allocations in use that are so large that `next` may take long in one
    void **longTexts;              ///< those in use with which one instruction can take milliseconds
    int32_t longTextCount;
    int32_t longTextRoom;
    clua_block *nodes;             ///< what may be the nodes of a table, if there are many
    int32_t nodesCount;
    int32_t nodesRoom;
    clua_block state;              ///< the first allocation, which holds what all coroutines share
    bool needsCollection;          ///< there was no time for that
    bool collectedInNeed;          ///< the last allocation was refused, so that Lua has collected all garbage
    int32_t unfailing;             ///< above 0: allocations overrun the limit
    int32_t depth;                 ///< protected entries under way
    bool overran;                  ///< an unfailing allocation went over the limit
    bool isJournaling;             ///< tracked views may be written
    int64_t journalWrites;
    int64_t journalMoves;          ///< writes of tables that were in the object already
    int journalObject;             ///< the object that is written: a reference to the registry
    int journalTables;             ///< tables of the script that became views
    int journalDepth;              ///< how deep the tables lie into which others were moved, at most; the object itself: 0
    const void *viewMetatables[3]; ///< by `clua_view_kind`, less one
    int32_t viewsTaken[2];         ///< views given out in this call that are used again in the next
    int32_t viewsHeld[2];          ///< of those, how many may still show something
    uint8_t viewDepths[CLUA_VIEWS_KEPT];  ///< how deep in the object lies what the tracked ones of them show
    bool slicedOut;                ///< the last yield came from the hook
    bool writesDirectly;           ///< the call under way writes without a journal: it must not be stopped between two writes
    int32_t aborted;
    bool readsMore;                ///< a script asked for the time, for chance, or for something's identity
    bool numbersAreDoubles;        ///< to its scripts, as in Lua 5.1: texts in arithmetic, too
    bool abortedByOthers;          ///< the call was stopped for want of time or memory, and had used less than half of it
    clua_usage usage;              ///< of the call under way
    uint64_t sliceCpuNanoseconds;  ///< the thread's CPU time at a look early in the slice; 0: not read yet
    uint32_t sliceTicks;           ///< looks at the clock in this slice, up to that one
    size_t heldBytes;              ///< `usedBytes` when the slice began, without what stopped calls had left to the collector
    size_t abandonedBytes;         ///< what that is now, at most
    size_t endBytes;               ///< `usedBytes` when the last slice ended
    int32_t cancelled;             ///< atomic
    int64_t instructionsLeft;
    uint64_t deadlineNanoseconds;  ///< on the monotonic clock; 0: `methodNanoseconds` from the first look at the clock
    uint64_t sliceEndNanoseconds;  ///< 0: never yield for time's sake
    uint64_t methodNanoseconds;
    uint64_t sliceNanoseconds;     ///< 0: none; else from that first look too
    int64_t collections;           ///< that came to their end since collecting in steps began
    void (*releaseObject)(void *object);
    clua_box *boxes;               ///< the host objects that userdata own
    size_t objectBytes;            ///< what they take, in `usedBytes` too
    size_t objectDebt;             ///< what came of it since the last collection that it caused
    lua_State *hostThread;         ///< the coroutine that the host resumed; only it may yield to the host
    lua_State *running;            ///< the coroutine under way
    int32_t closing;               ///< coroutines that are being closed, one inside the other
    void (*yieldProcessor)(uint64_t now);                      ///< told the time at each look at the clock; may wait
    void (*extend)(struct clua_control *control, size_t wanted);  ///< asked to raise `limitBytes` when that is too little
    void *account;                 ///< what `extend` takes it from
    size_t ceilingBytes;           ///< beyond which it does not
    char *trace;                   ///< where the script was that failed last, a line for each function; NULL before the first
    size_t traceBytes;             ///< 0: it has been read
} clua_control;

typedef int (*clua_callback)(lua_State *L, void *context);

/// A sandboxed state, or NULL without memory. `releaseObject` is called once for each host object that is collected.
lua_State *clua_open(size_t limitBytes, void (*releaseObject)(void *object));
void clua_close(lua_State *L);
clua_control *clua_control_of(lua_State *L);
/// Collects garbage where host objects, whose bytes Lua does not see, have come to much; stops a script to which no more
/// memory is due. May raise.
void clua_look_at_objects(lua_State *L);
/// May be called from any thread.
void clua_cancel(clua_control *control, bool cancelled);
bool clua_is_cancelled(clua_control *control);
/// Whether the call under way, or the last one, has used up its time or another part of its budget.
bool clua_is_overdue(clua_control *control);

/// Protected call of the function below `arguments`; the only other way in is clua_resume.
int clua_pcall(lua_State *L, int arguments, int results);
/// Starts or goes on with a coroutine that belongs to the host.
int clua_resume(lua_State *thread, lua_State *from, int arguments, int *results);
/// What a method is called with. References are to the registry.
typedef struct {
    int function;
    int object;                ///< 0: none, it is a constructor
    int view;                  ///< how the method sees its object: with CLUA_TRACKED, what it writes is journalled
    bool writesDirectly;       ///< it changes its object and needs no journal, and so few instructions that no limit is needed
    bool hasLimits;            ///< they are set already, those below are not looked at
    int argumentsMin;          ///< how many arguments it takes
    int argumentsMax;
    const char *arguments;     ///< with a colon between two; NULL: none
    size_t argumentBytes;
    const char *data;          ///< the last argument; NULL: none
    size_t dataBytes;
    int64_t instructionsMax;
    uint64_t methodNanoseconds;
    uint64_t sliceNanoseconds;
} clua_invocation;
enum { CLUA_NO_VIEW = 0, CLUA_READONLY = 1, CLUA_TRACKED = 2 };
/// What `clua_call_method` returns beside Lua's statuses: the call has too few arguments, or too many.
enum { CLUA_WRONG_ARGUMENTS = -1 };
/// Begins a method on a coroutine of the host's that holds nothing but arguments that come before those of the call. Without
/// limits of its own no clock is read before its 256th instruction or so. What is journalled has to be committed or undone.
int clua_call_method(lua_State *thread, const clua_invocation *call, int *results);
enum { CLUA_PREFETCH_MAX = 16 };
/// Starts to bring in the tables at these references to the registry, and what is in them: for calls that come at once.
void clua_prefetch(lua_State *L, const int *references, int count);
/// Functions that a trace names, the innermost ones.
enum { CLUA_TRACE_LINES_MAX = 20 };
/// Compiles text (never bytecode) and pushes the function; its globals are what `clua_bind` gives it.
int clua_load(lua_State *L, const char *source, size_t bytes, const char *name);
/// Pops what the loaded function below is to have as its globals.
void clua_bind(lua_State *L);

/// Gives all scripts `number`, `whole`, `text`, `tonumeral` and `towhole`, which read arguments.
void clua_open_arguments(lua_State *L);
enum { CLUA_NUMBER_BYTES_MAX = 32 };
/// Writes a number as Lua 5.1 did, by 14 digits, and a zero; returns how many bytes without the zero.
int clua_write_number(double number, char *text);

void clua_pop(lua_State *L, int count);
void clua_new_table(lua_State *L);
int clua_upvalue_index(int index);
int64_t clua_to_integer(lua_State *L, int index);
double clua_to_number(lua_State *L, int index);
/// Pushes the table of functions that all scripts share (locked against scripts).
void clua_push_globals(lua_State *L);
/// From now on scripts can read the shared table of that name, but not write it.
void clua_lock_global(lua_State *L, const char *name);
/// Pushes a new table whose missing fields come from the shared globals.
void clua_push_environment(lua_State *L);
/// Pushes a function that calls back.
/// Whether the error on top of the stack is the one that a callback raised last, be it that `error` raised it again and has put
/// a position in front. What a script raises in words of its own is not.
bool clua_is_raised(lua_State *L);
/// From now on that is what is on top of the stack.
void clua_note_raised(lua_State *L);
/// "name:line: " of what has called the callback that runs, as messages begin; "" where that is not known. Never raises.
void clua_where(lua_State *L, char *text, size_t bytes);
void clua_push_callback(lua_State *L, clua_callback callback, void *context);
/// Pushes a userdata that owns `object`, which takes so many bytes, with the metatable at `metatable`. To collect it gives
/// back so many `leased` elsewhere, too.
void clua_push_object(lua_State *L, void *object, size_t bytes, size_t leased, int metatable);
/// Pushes a new metatable for host objects whose methods are in the table at `methods`.
void clua_push_object_metatable(lua_State *L, const char *typeName, int methods);
/// Lets go of all objects that userdata own: of a state in which nothing is live.
void clua_release_objects(lua_State *L);
/// The object a userdata owns, or NULL.
void *clua_to_object(lua_State *L, int index);

/// Pushes a deep copy of the table of plain data at `index`. Protected: returns a status, and on failure pushes the message:
/// also where a table is in it twice. Costs about 50 ns an entry.
int clua_copy(lua_State *L, int index);
/// What the table at `index` takes with all that it holds, roughly, in bytes; entries beyond so many are left out. Raises
/// nothing and allocates nothing.
size_t clua_table_bytes(lua_State *L, int index, int64_t entriesMax);
/// Before each call that uses views: those of the call before are used again.
void clua_views_begin(clua_control *control);
/// Between calls: views show nothing any more, and so keep alive nothing that has gone.
void clua_views_release(lua_State *L);
/// Pushes a read-only view of the table at `index`.
void clua_push_view(lua_State *L, int index);
/// Pushes a view of the table at `index` whose writes go through to it and into the journal.
void clua_push_tracked(lua_State *L, int index);
/// When the value at `index` is a view, pushes the table behind it and returns true.
bool clua_push_original(lua_State *L, int index);
/// From here to a commit or an undo tracked views can be written. `object`: the one that is called, a reference to the
/// registry. No allocation.
void clua_journal_begin(lua_State *L, int object);
/// Makes what was written since the begin last. Protected: returns a status, and on failure pushes the message; then
/// undo.
int clua_journal_commit(lua_State *L);
/// Puts everything back as it was at the begin.
void clua_journal_undo(lua_State *L);
/// Collects young garbage mostly: for a state with many objects that stay.
void clua_collect_young(lua_State *L);
/// Collects in small steps from now on, about one for each 2 KiB that are allocated: for a state whose objects come and
/// go.
void clua_collect_in_steps(lua_State *L);
/// One of those steps, whether or not anything was allocated. Some 50 µs.
void clua_collect_step(lua_State *L);
/// A full collection.
void clua_collect(lua_State *L);

/// Puts its own `pairs` among the functions that all scripts share: for a state with objects.
void clua_open_objects(lua_State *L);

/// Freezes what a script left in its environment, the table at `environment`: its globals and tables can be read from now on,
/// not written. Pushes the variables that its functions could write, for `clua_restore_watched`; most have none. Protected:
/// returns a status, and on failure pushes the message: where a variable keeps a coroutine or an iterator.
int clua_freeze(lua_State *L, int environment);
/// Gives the variables that are watched in the table at `watched` the values that they had. When one had another, pushes a
/// message that names it and returns true.
bool clua_restore_watched(lua_State *L, int watched);

// For the shim's own files.
/// What a table is to a script: its own, or a view of another one.
typedef enum { CLUA_PLAIN_TABLE = 0, CLUA_READONLY_VIEW = 1, CLUA_TRACKED_VIEW = 2, CLUA_FROZEN_VIEW = 3 } clua_view_kind;
clua_view_kind clua_kind_of_view(lua_State *L, int index);
/// Empties the table at one absolute index and makes it a tracked view of the one at the other, which lies that deep.
void clua_turn_into_view(lua_State *L, int table, int original, int depth);
/// Notes that the object's table on top is put at the key at `key` of the new table at `target`, which lies that deep.
void clua_journal_move(lua_State *L, int target, int key, int depth);
/// Puts a copy in the place of the script's table on top, which then is a view of it: it will be at the key at `key` of a
/// table that lies `depth` deep.
void clua_copy_to_store(lua_State *L, int key, int depth);
/// Makes the empty table at one absolute index show the one at the other, and no more than that; `metatable`: what that one
/// has as metatable, or 0.
void clua_freeze_view(lua_State *L, int table, int original, int metatable);
/// Puts what is behind a frozen table at an absolute index in its place, to be a metatable: Lua reads those without asking.
/// What scripts see of it is the frozen table.
void clua_use_frozen(lua_State *L, int index);
/// Raises where the object's table at `root` holds a table twice, or lies too deep.
void clua_check_object(lua_State *L, int root);
/// How deep the table on top is, and `depth` more.
int clua_height(lua_State *L, int depth);

/// The longest text that a script can make: what takes time in proportion to it takes milliseconds.
enum { CLUA_TEXT_BYTES_MAX = 8 << 20 };
/// The longest text that can be a number.
enum { CLUA_NUMERAL_BYTES_MAX = 1024 };
/// Bytes that are copied, searched or compared in the time of an instruction.
enum { CLUA_BYTES_AN_INSTRUCTION = 64 };

/// What an entry changes and puts back when it leaves.
typedef struct {
    int32_t unfailing;
    lua_State *hostThread;
    lua_State *running;
    clua_control *control;  ///< of the thread of execution
} clua_entry;
clua_entry clua_enter(lua_State *L, clua_control *control);
int clua_leave(lua_State *L, clua_control *control, clua_entry saved, int status);
void *clua_allocate(void *context, void *block, size_t oldBytes, size_t newBytes);

/// Keeps in mind what may be the nodes of a table, and lets go of it.
void clua_note_nodes(clua_control *control, void *block, size_t bytes);
void clua_forget_nodes(clua_control *control, void *block, size_t bytes);
/// Whether a table that now gets room for nodes would take long to put its keys there, since too many meet in one
/// place.
bool clua_would_crowd(clua_control *control, size_t bytes);
/// From now on no table of the state is weak, and none says what `..` means with it.
void clua_take_metamethods_away(lua_State *L, char *state, size_t bytes);

/// Notes the Lua functions under way on a coroutine that has failed, or is about to: see `clua_control.trace`.
void clua_note_trace(lua_State *L);
/// A message handler that does so, and leaves the message as it is. It is asked for what no `pcall` of a script's catches.
int clua_handle_error(lua_State *L);
/// Raises the end of the run.
void clua_abort(lua_State *L, int reason);
void clua_push_abort_message(lua_State *L);
/// What is said of a call that was stopped for that reason.
const char *clua_abort_message(int reason);
/// Takes a status of Lua's that says that it had no memory, and nothing else that it was stopped, for that.
void clua_note_no_memory(clua_control *control, int status);
/// Whether the coroutine ended by an abort.
bool clua_was_stopped(lua_State *thread);
/// Takes instructions off the budget, and looks at it at least once in 256 of them. Raises when it is used up.
void clua_charge(lua_State *L, int64_t instructions);
void clua_charge_bytes(lua_State *L, size_t bytes);
/// Looks at the budget, the clock and whether it was cancelled now.
void clua_look(lua_State *L);
/// From here the script runs on that coroutine; returns the one before.
lua_State *clua_run_on(lua_State *L, clua_control *control);
uint64_t clua_now(void);

/// Arguments that are to be numbers: as luaL_checkinteger and so on, but for texts that are too long to be one.
lua_Integer clua_check_integer(lua_State *L, int index);
lua_Integer clua_opt_integer(lua_State *L, int index, lua_Integer otherwise);
/// The number at `index`, pushed; false and nothing pushed when it is none.
bool clua_push_number(lua_State *L, int index);
/// Raises unless a text of this many bytes may be made.
void clua_check_text_bytes(lua_State *L, size_t bytes);
/// Pushes the text for a value as `tostring` gives it, without addresses.
const char *clua_push_text(lua_State *L, int index, size_t *bytes);
/// A number that stands for an object as long as it lives, and tells nothing of where it is.
uint64_t clua_identity(const void *object);

/// Each adds its functions to the table on top, in the place of the standard library's.
void clua_open_patterns(lua_State *L);
void clua_open_texts(lua_State *L);
void clua_open_text_arithmetic(lua_State *L);
void clua_open_packing(lua_State *L);
void clua_open_utf8(lua_State *L);
void clua_open_tables(lua_State *L);
void clua_open_coroutines(lua_State *L);
void clua_open_math(lua_State *L);
void clua_open_os(lua_State *L);
void clua_open_views(lua_State *L);
int clua_open_sandbox(lua_State *L);
int clua_format(lua_State *L);
int clua_sort(lua_State *L);
int clua_tostring(lua_State *L);
int clua_tonumber(lua_State *L);
int clua_pass_abort_on(lua_State *L, int status);
int clua_next(lua_State *L);
int clua_pairs(lua_State *L);
int clua_rawget(lua_State *L);
int clua_rawlen(lua_State *L);
int clua_rawset(lua_State *L);
#endif
