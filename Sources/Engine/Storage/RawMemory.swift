// Raw memory for segments, and the comparison of raw bytes.
//
// Unsafe: maps and unmaps memory; who maps must unmap with the same count.

import Glibc

package enum RawMemory {
    static let pageBytes = 4096

    /// Of the machine, or the container's view of it.
    package static var systemBytes: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

    static func roundedToPages(_ bytes: Int) -> Int { (bytes + pageBytes - 1) & ~(pageBytes - 1) }

    /// Zeroed pages straight from the kernel, so that giving them back lowers the process's memory at once. Nil when the
    /// kernel has none. `bytes` is a multiple of the page size.
    static func map(_ bytes: Int) -> UnsafeMutableRawPointer? {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let pointer = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0)
        return pointer == MAP_FAILED ? nil : pointer
    }

    static func unmap(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) { munmap(pointer, bytes) }

    /// Gives the pages back to the kernel; the addresses stay, and read as zero.
    static func discard(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) { madvise(pointer, bytes, MADV_DONTNEED) }

    /// A wish only: a kernel that has no huge pages, or was told not to use them, takes small ones.
    static func preferHugePages(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) {
        #if os(Linux)
            madvise(pointer, bytes, MADV_HUGEPAGE)
        #endif
    }
}

@inline(__always)
func equalBytes(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Bool { memcmp(a, b, count) == 0 }
