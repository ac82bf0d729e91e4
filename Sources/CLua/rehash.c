// Guards against numbers as keys that are chosen so that all of them meet in one place of a table: when such a table
// grows, one instruction takes the square of their number in steps, and nothing else of Lua gets in between.
//
// Lua 5.4 hashes numbers without a secret. What a script puts into a table passes by unseen, but not that the table
// gets room for twice as many: then the old nodes are still there, and show where each key is about to go. Nothing is
// written here, and what does not look like nodes in every respect is left alone.
#include "CLua.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/// As Lua 5.4 keeps a node: the value, its kind, the key's kind, the distance to the next node, the key.
typedef struct {
    uint64_t value;
    uint8_t valueKind, keyKind;
    int32_t next;
    uint64_t key;
} node;
enum { KEY_NONE = 0, KEY_FLOAT = LUA_TNUMBER | 16, KEY_INTEGER = LUA_TNUMBER };

/// Smaller tables grow within milliseconds whatever their keys are.
enum { NODES_MIN = 1 << 12 };
/// Steps from node to node that growing may take: some 50 ms, and what as many keys take that are spread well.
enum { STEPS_MAX = 10000000, STEPS_MAX_A_KEY = 8 };

/// The number of nodes when a block may be an array of that many, or 0.
static size_t nodes_of(size_t bytes) {
    size_t count = bytes / sizeof(node);
    return count >= NODES_MIN && count * sizeof(node) == bytes && (count & (count - 1)) == 0 ? count : 0;
}

void clua_note_nodes(clua_control *control, void *block, size_t bytes) {
    if (nodes_of(bytes) == 0) return;
    if (control->nodesCount == control->nodesRoom) {
        size_t room = (size_t)control->nodesRoom * 2 + 16;
        clua_block *grown = realloc(control->nodes, room * sizeof *grown);
        if (grown == NULL) return;
        control->nodes = grown;
        control->nodesRoom = (int32_t)room;
    }
    control->nodes[control->nodesCount++] = (clua_block){block, bytes};
}

void clua_forget_nodes(clua_control *control, void *block, size_t bytes) {
    if (nodes_of(bytes) == 0) return;
    for (int32_t at = control->nodesCount - 1; at >= 0; at -= 1) {
        if (control->nodes[at].start != block) continue;
        control->nodes[at] = control->nodes[--control->nodesCount];
        return;
    }
}

/// Where a number goes among `count` nodes, a power of two.
static size_t place_of(const node *my, size_t count) {
    uint64_t divisor = (count - 1) | 1;
    if (my->keyKind == KEY_INTEGER) return my->key % divisor;
    double number;
    memcpy(&number, &my->key, sizeof number);
    int exponent;
    double fraction = frexp(number, &exponent) * -(double)INT_MIN;
    if (!(fraction >= -0x1p62 && fraction <= 0x1p62)) return 0;
    unsigned sum = (unsigned)exponent + (unsigned)(int64_t)fraction;
    return (sum <= INT_MAX ? sum : ~sum) % divisor;
}

/// A table grows when none of its nodes is free: then each has a key, and those in one place are in a chain.
static bool are_all_taken(const node *nodes, size_t count) {
    for (size_t at = 0; at < count; at += count / 64)
        if (nodes[at].keyKind == KEY_NONE) return false;
    for (size_t at = 0; at < count; at += 1) {
        int64_t next = (int64_t)at + nodes[at].next;
        if (nodes[at].keyKind == KEY_NONE || next < 0 || next >= (int64_t)count) return false;
    }
    return true;
}

static bool would_crowd(const node *nodes, size_t count, size_t newCount) {
    if (!are_all_taken(nodes, count)) return false;
    uint32_t *taken = calloc(newCount, sizeof *taken);
    if (taken == NULL) return false;
    uint64_t steps = 0;
    for (size_t at = 0; at < count; at += 1) {
        if (nodes[at].keyKind != KEY_INTEGER && nodes[at].keyKind != KEY_FLOAT) continue;
        steps += taken[place_of(&nodes[at], newCount)]++;
    }
    free(taken);
    return steps > STEPS_MAX + (uint64_t)count * STEPS_MAX_A_KEY;
}

bool clua_would_crowd(clua_control *control, size_t bytes) {
    size_t newCount = nodes_of(bytes);
    if (newCount == 0 || LUA_VERSION_NUM != 504) return false;
    for (int32_t at = 0; at < control->nodesCount; at += 1) {
        clua_block *block = &control->nodes[at];
        if (block->bytes * 2 == bytes && would_crowd(block->start, block->bytes / sizeof(node), newCount)) return true;
    }
    return false;
}
