// Tells the thread sanitizer what a `Mutex` of the standard library orders where two threads meet in it.
//
// Taking and leaving a mutex that nobody else wants is compiled into the program, and the sanitizer sees it. Once a thread
// has to wait, both go on in the library, which comes compiled without the sanitizer: it would report whatever the second
// thread does under the lock. This is loaded before the library, does what the library does, and says what happened.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// Of the sanitizer's runtime, which is in the program.
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

// The names that the compiler gives to `_MutexHandle._lockSlow(_:)` and `_MutexHandle._unlockSlow()`.
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *

typedef SWIFT void (*Lock)(uint32_t thread, SELF mutex);
typedef SWIFT void (*Unlock)(SELF mutex);

static Lock library_lock;
static Unlock library_unlock;

static void *of_library(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found || !__tsan_acquire || !__tsan_release) {
        fprintf(stderr, "mutex: %s\n", found ? "the program has no thread sanitizer in it" : "the library has changed");
        abort();
    }
    return found;
}

__attribute__((constructor)) static void find(void) {
    // Compilers, shells and the like that are started beside have neither.
    if (!__tsan_acquire) return;
    library_lock = (Lock)of_library(LOCK);
    library_unlock = (Unlock)of_library(UNLOCK);
}

SWIFT void lock_slowly(uint32_t thread, SELF mutex) __asm__(LOCK);
SWIFT void unlock_slowly(SELF mutex) __asm__(UNLOCK);

SWIFT void lock_slowly(uint32_t thread, SELF mutex) {
    library_lock(thread, mutex);
    __tsan_acquire(mutex);
}

SWIFT void unlock_slowly(SELF mutex) {
    __tsan_release(mutex);
    library_unlock(mutex);
}
