// Calls that are GNU extensions, which the Glibc module is built without.

#define _GNU_SOURCE
#include "CLinux.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

int linux_alarm(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

int linux_accept(int descriptor, void *address, uint32_t *bytes) {
    return accept4(descriptor, address, bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void linux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }
