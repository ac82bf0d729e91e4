// Keeps the process itself small, so that memory goes to items: few heaps, and no code pages that only starting needed.
//
// Unsafe: gives address ranges back to the kernel; only such as it can read again from their files.

import Dispatch
import Glibc

enum ProcessMemory {
    /// Every thread would get a heap of its own, none of which shrinks once buffers of many sizes went through it. Call
    /// before any thread is started.
    static func limitHeaps() {
        // The header that declares it is not part of the Glibc module.
        guard let symbol = dlsym(dlopen(nil, RTLD_NOW), "mallopt") else { return }
        let setOption = unsafeBitCast(symbol, to: (@convention(c) (CInt, CInt) -> CInt).self)
        let (trimThreshold, mapThreshold, heapsMax): (CInt, CInt, CInt) = (-1, -3, -8)
        _ = setOption(heapsMax, 1)
        // Buffers of large values come from the kernel and go back to it.
        _ = setOption(mapThreshold, 256 << 10)
        _ = setOption(trimThreshold, 256 << 10)
    }

    private static let intervalSeconds = 1

    /// From now on, gives back the pages of code and constants every second: what starting needed is most of them. What
    /// is still in use is mapped in again from the page cache.
    static func keepCodeSmall() -> any DispatchSourceTimer {
        let constants = FileMapping.unchangedConstants(smaps: lines(of: "/proc/self/smaps"))
        let timer = DispatchSource.makeTimerSource(queue: .global(qos: .utility))
        timer.schedule(deadline: .now() + 1, repeating: .seconds(intervalSeconds))
        timer.setEventHandler { giveBackPages(constants) }
        timer.resume()
        return timer
    }

    private static func giveBackPages(_ constants: Set<FileMapping>) {
        for line in lines(of: "/proc/self/maps") {
            guard let mapping = FileMapping(line), mapping.isCode || constants.contains(mapping) else { continue }
            discard(mapping)
        }
    }

    private static func discard(_ mapping: FileMapping) {
        madvise(UnsafeMutableRawPointer(bitPattern: mapping.start), mapping.byteCount, MADV_DONTNEED)
    }

    /// None where there is no such file.
    private static func lines(of path: String) -> [String] {
        var lines: [String] = []
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, file) > 0 {
            if let line { lines.append(String(cString: line)) }
        }
        return lines
    }
}
