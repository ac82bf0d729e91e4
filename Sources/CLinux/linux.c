// Calls that are GNU extensions, which the Glibc module is built without; and what only the system knows of the process.

#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int linux_alarm(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

int linux_accept(int descriptor, void *address, uint32_t *bytes) {
    return accept4(descriptor, address, bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

__thread int32_t linux_thread_number_kept = 0;

__thread int64_t linux_turn_began_kept = 0;

void linux_begin_turn(void) {
    struct timespec time;
    if (linux_turn_began_kept == 0) return;
    clock_gettime(CLOCK_MONOTONIC, &time);
    linux_turn_began_kept = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void linux_end_turn(void) {
    sched_yield();
    linux_begin_turn();
}

__thread void *linux_worker_kept = NULL;

void linux_give_way(void) {
    int nice = getpriority(PRIO_PROCESS, 0) + 10;
    // The C library has neither this struct nor the call before its version 2.41.
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
        uint32_t clamp_low, clamp_high;
    } attributes = {.size = sizeof attributes, .nice = nice < 19 ? nice : 19, .runtime = 100000};
    if (syscall(SYS_sched_setattr, 0, &attributes, 0) != 0) setpriority(PRIO_PROCESS, 0, nice);
    linux_turn_began_kept = 1;
}

const void *linux_find(const void *bytes, long count, const void *wanted, long wanted_count) {
    return memmem(bytes, (size_t)count, wanted, (size_t)wanted_count);
}

void linux_trim_memory(void) { malloc_trim(0); }

long linux_free_heap_bytes(void) { return (long)mallinfo2().fordblks; }

struct data_count {
    int pages;  ///< a descriptor of the process's page table
    long page_bytes;
    long found_bytes;
};

/// Of one library, or the program.
static int count_data(struct dl_phdr_info *library, size_t size, void *context) {
    (void)size;
    // Of an entry of the page table: it is there; and it is a file's, or shared.
    const uint64_t present = 1ull << 63, of_file = 1ull << 61;
    struct data_count *count = context;
    for (int at = 0; at < library->dlpi_phnum; at += 1) {
        const ElfW(Phdr) *part = &library->dlpi_phdr[at];
        if (part->p_type != PT_LOAD || (part->p_flags & PF_W) == 0) continue;
        uint64_t first = (library->dlpi_addr + part->p_vaddr) / (uint64_t)count->page_bytes;
        uint64_t end = (library->dlpi_addr + part->p_vaddr + part->p_memsz - 1) / (uint64_t)count->page_bytes + 1;
        while (first < end) {
            uint64_t entries[512];
            uint64_t wanted = end - first < 512 ? end - first : 512;
            ssize_t got = pread(count->pages, entries, wanted * sizeof *entries, (off_t)(first * sizeof *entries));
            if (got <= 0) return 1;
            for (size_t entry = 0; entry < (size_t)got / sizeof *entries; entry += 1)
                if ((entries[entry] & (present | of_file)) == present) count->found_bytes += count->page_bytes;
            first += (uint64_t)got / sizeof *entries;
        }
    }
    return 0;
}

long linux_own_data_bytes(void) {
    struct data_count count = {open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), sysconf(_SC_PAGESIZE), 0};
    if (count.pages < 0) return 0;
    dl_iterate_phdr(count_data, &count);
    close(count.pages);
    return count.found_bytes;
}

void linux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

long linux_receive(int descriptor, void *bytes, long count) {
    return syscall(SYS_recvfrom, descriptor, bytes, count, 0, NULL, NULL);
}

long linux_send(int descriptor, const void *bytes, long count) {
    return syscall(SYS_sendto, descriptor, bytes, count, MSG_NOSIGNAL, NULL, 0);
}

long linux_send_pieces(int descriptor, const void *head, long head_count, const void *body, long body_count,
                       const void *tail, long tail_count) {
    struct iovec pieces[3] = {
        {(void *)head, (size_t)head_count},
        {(void *)body, (size_t)body_count},
        {(void *)tail, (size_t)tail_count},
    };
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 3};
    return syscall(SYS_sendmsg, descriptor, &message, MSG_NOSIGNAL);
}

void linux_futex_wait(void *word, uint32_t value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }

void linux_futex_wake(void *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }
