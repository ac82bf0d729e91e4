// What the Glibc module leaves out: memmem, epoll, accept4, a thread's name and number; and hints to the processor's cache.

#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/// A non-blocking eventfd at 0; below 0 when the process has no descriptors left.
int linux_alarm(void);

/// As accept4, with a `sockaddr` and its size: the connection is non-blocking, and closed on exec.
int linux_accept(int descriptor, void *address, uint32_t *bytes);

/// As recv and send without flags (sending to a closed connection is an error, no signal), but no cancellation points,
/// which cost a few atomic operations each. -1 and errno on failure.
long linux_receive(int descriptor, void *bytes, long count);
long linux_send(int descriptor, const void *bytes, long count);
/// Three pieces, one after the other; each may be empty.
long linux_send_pieces(int descriptor, const void *head, long head_count, const void *body, long body_count,
                       const void *tail, long tail_count);

/// Where `wanted`, which is not empty, is first in the bytes, or null: in time that is in proportion to both.
const void *linux_find(const void *bytes, long count, const void *wanted, long wanted_count);

/// Memory that was freed in small pieces goes back to the system: some milliseconds a hundred MiB.
void linux_trim_memory(void);

/// What was freed in small pieces and did not go back: of use to nobody but the next who asks for some. Some microseconds.
long linux_free_heap_bytes(void);

/// Of the data of the program and its libraries, what is in memory and no longer as in their files: addresses that were filled in
/// at the start, variables. Some 20 microseconds a MiB.
long linux_own_data_bytes(void);

void linux_name_thread(const char *name);

/// The thread that calls lets others go first: its nice value rises by 10, and where the system can do that (Linux 6.12)
/// it is given the processor for 0.1 ms at a time.
void linux_give_way(void);

/// When the thread's turn began, in nanoseconds on the monotonic clock: it let others run then, or had slept. 0 for one
/// that does not give way.
extern __thread int64_t linux_turn_began_kept;
static inline int64_t linux_turn_began(void) { return linux_turn_began_kept; }
void linux_begin_turn(void);
void linux_end_turn(void);
/// For a thread that gives way, at `now` on the monotonic clock: after 0.1 ms its turn ends, others may run, and the next
/// one begins. Says whether that was so. Costs a comparison, and a system call of about a microsecond where it is time.
/// For other threads nothing happens.
static inline bool linux_yield(int64_t now) {
    if (linux_turn_began_kept == 0 || now - linux_turn_began_kept <= 100000) return false;
    linux_end_turn();
    return true;
}

extern __thread void *linux_worker_kept;
/// What the thread was given with `linux_set_worker`; null before.
static inline void *linux_worker(void) { return linux_worker_kept; }
static inline void linux_set_worker(void *worker) { linux_worker_kept = worker; }

extern __thread int32_t linux_thread_number_kept;
/// What the thread was given with `linux_set_thread_number`; 0 before.
static inline int32_t linux_thread_number(void) { return linux_thread_number_kept; }
static inline void linux_set_thread_number(int32_t number) { linux_thread_number_kept = number; }

/// Sleeps while the 32-bit word at `word` is `value`, or a little shorter.
void linux_futex_wait(void *word, uint32_t value);
/// Wakes one of those who sleep on the word.
void linux_futex_wake(void *word);

/// Between two looks at something that another thread will change soon.
static inline void linux_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/// Starts to bring the cache line of that address in. Never faults, whatever the address.
static inline void linux_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }
/// As `linux_prefetch`, for what will be written: no other core has it then.
static inline void linux_prefetch_to_write(const void *address) {
#if defined(__x86_64__)
    // The compiler has it for some processors only; the others take it for nothing.
    __asm__ volatile("prefetchw %0" ::"m"(*(const char *)address));
#else
    __builtin_prefetch(address, 1, 3);
#endif
}
