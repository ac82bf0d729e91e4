// What tests of the innermost loops share: memory that ends where reading further is a fault, random codes, lengths, levels.

// Unsafe: maps memory and a page behind it that nobody may touch.

import CKernels
import Glibc

/// Room for `count` elements, behind which lies a page that is protected: who reads or writes further ends the process.
final class GuardedBuffer<T: BitwiseCopyable> {
    let start: UnsafeMutablePointer<T>
    let count: Int
    private let mapped: UnsafeMutableRawPointer
    private let mappedBytes: Int

    init(_ elements: [T]) {
        count = elements.count
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let bytes = elements.count * MemoryLayout<T>.stride
        let room = (bytes + page - 1) / page * page
        mappedBytes = room + page
        mapped = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        precondition(mapped != MAP_FAILED && mprotect(mapped + room, page, PROT_NONE) == 0)
        start = (mapped + (room - bytes)).bindMemory(to: T.self, capacity: max(count, 1))
        for index in 0..<count { (start + index).initialize(to: elements[index]) }
    }

    convenience init(repeating element: T, count: Int) { self.init(Array(repeating: element, count: count)) }

    deinit { munmap(mapped, mappedBytes) }

    var array: [T] { Array(UnsafeBufferPointer(start: start, count: count)) }
}

enum KernelCases {
    /// Around the widths of vectors, and a whole block.
    static let lengths = [
        0, 1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1000, 8191, 8192,
    ]

    /// Runs `body` with the loops of each instruction set that this processor has.
    static func forEachLevel(_ body: (Int32) -> Void) {
        for level in 0...ck_level_max() {
            ck_use_level(level)
            body(level)
        }
        ck_use_level(ck_level_max())
    }

    static func codes<C: FixedWidthInteger & UnsignedInteger>(
        _ count: Int, below limit: C, _ random: inout some RandomNumberGenerator
    ) -> [C] { (0..<count).map { _ in C.random(in: 0..<limit, using: &random) } }

    /// A word for 64 rows.
    static func bits(_ count: Int, _ passes: (Int) -> Bool) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: (count + 63) / 64)
        for row in 0..<count where passes(row) { words[row / 64] |= 1 << UInt64(row % 64) }
        return words
    }
}
