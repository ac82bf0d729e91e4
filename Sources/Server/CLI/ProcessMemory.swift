// Keeps the process itself small, so that memory goes to items: few heaps, and no code pages that only starting needed.
//
// Unsafe: gives address ranges back to the kernel; only such as it can read again from their files.

import Dispatch

#if canImport(Glibc)
    import Glibc
#endif

enum ProcessMemory {
    /// Every thread would get a heap of its own, none of which shrinks once buffers of many sizes went through it. Call
    /// before any thread is started.
    static func limitHeaps() {
        #if canImport(Glibc)
            // The header that declares it is not part of the Glibc module.
            guard let symbol = dlsym(dlopen(nil, RTLD_NOW), "mallopt") else { return }
            let setOption = unsafeBitCast(symbol, to: (@convention(c) (CInt, CInt) -> CInt).self)
            let (trimThreshold, mapThreshold, heapsMax): (CInt, CInt, CInt) = (-1, -3, -8)
            _ = setOption(heapsMax, 1)
            // Buffers of large values come from the kernel and go back to it.
            _ = setOption(mapThreshold, 256 << 10)
            _ = setOption(trimThreshold, 256 << 10)
        #endif
    }

    private static let intervalSeconds = 10

    /// From now on, gives back the pages of code every few seconds: what starting needed is most of them. What is still
    /// in use is mapped in again from the page cache.
    static func keepCodeSmall() -> any DispatchSourceTimer {
        let timer = DispatchSource.makeTimerSource(queue: .global(qos: .utility))
        timer.schedule(deadline: .now() + 1, repeating: .seconds(intervalSeconds))
        timer.setEventHandler { giveBackCodePages() }
        timer.resume()
        return timer
    }

    private static func giveBackCodePages() {
        #if canImport(Glibc)
            guard let maps = fopen("/proc/self/maps", "r") else { return }
            defer { fclose(maps) }
            var line: UnsafeMutablePointer<CChar>?
            var capacity = 0
            defer { free(line) }
            while getline(&line, &capacity, maps) > 0 {
                guard let line, let range = fileRange(String(cString: line)) else { continue }
                madvise(range.baseAddress, range.count, MADV_DONTNEED)
            }
        #endif
    }

    /// The addresses of a line of /proc/self/maps, if they are a file's and may not be written.
    private static func fileRange(_ line: String) -> UnsafeMutableRawBufferPointer? {
        let fields = line.split(separator: " ", omittingEmptySubsequences: true)
        guard fields.count >= 6, fields[5].hasPrefix("/"), fields[1] == "r-xp" else { return nil }
        let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        guard ends.count == 2, ends[0] < ends[1], let start = UnsafeMutableRawPointer(bitPattern: ends[0]) else {
            return nil
        }
        return UnsafeMutableRawBufferPointer(start: start, count: Int(ends[1] - ends[0]))
    }
}
