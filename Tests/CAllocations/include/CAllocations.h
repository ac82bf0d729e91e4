// Counts what a thread allocates, by standing before the C library's allocator in the test program.

#pragma once

/// Calls of malloc, calloc, realloc and aligned allocation on this thread so far, from whatever library.
unsigned long allocations_of_this_thread(void);
