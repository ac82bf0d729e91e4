// The answers to `stats`, made of the lines that the text protocol has for them: a packet for each, and an empty one at the end.
//
// Unsafe: reads the lines through a raw buffer, within its count.

extension ReplyBuffer {
    /// `lines`: what a report wrote, whole lines. What is no list is answered by one packet: empty where all went well.
    mutating func writeBinaryStatistics(_ echo: BinaryEcho, _ lines: UnsafeRawBufferPointer) {
        var at = 0
        var prefixes: [UInt8] = []
        while at < lines.count {
            let end = lines[at...].firstIndex(of: 0x0A) ?? lines.count
            let line = UnsafeRawBufferPointer(rebasing: lines[at..<max(at, end - 1)])
            at = end + 1
            if line.starts(with: "STAT ".utf8) {
                let name = UnsafeRawBufferPointer(rebasing: line[5..<(line[5...].firstIndex(of: 0x20) ?? line.count)])
                let value = UnsafeRawBufferPointer(rebasing: line[min(line.count, 5 + name.count + 1)...])
                writeBinary(echo, .done, key: name, value: value)
            } else if line.starts(with: "PREFIX ".utf8) {
                prefixes.append(contentsOf: line)
                prefixes += [0x0D, 0x0A]
            } else if line.starts(with: "CLIENT_ERROR ".utf8) || line.starts(with: "ERROR".utf8)
                || line.starts(with: "ITEM ".utf8)
            {
                // Lists of keys are the text protocol's.
                return writeBinary(echo, .notFound)
            }
        }
        if !prefixes.isEmpty {
            let name: StaticString = "detailed"
            prefixes.withUnsafeBytes {
                writeBinary(
                    echo, .done, key: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount),
                    value: $0)
            }
        }
        writeBinary(echo, .done)
    }
}
