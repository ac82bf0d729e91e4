// What of this process's memory is a file's, and can be read again from it.

/// Addresses at which this process sees a file, from a line of /proc/self/maps or the first of an entry of smaps.
package struct FileMapping: Hashable {
    package let start: UInt
    package let byteCount: Int
    private let permissions: Substring
    private let offset: Substring
    private let inode: Substring

    /// Nil for memory that is no file's.
    package init?(_ line: String) {
        let fields = line.split(whereSeparator: \.isWhitespace)
        guard fields.count >= 6, fields[5].hasPrefix("/") else { return nil }
        let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        guard ends.count == 2, ends[0] > 0, ends[0] < ends[1] else { return nil }
        start = ends[0]
        byteCount = Int(ends[1] - ends[0])
        (permissions, offset, inode) = (fields[1], fields[2], fields[4])
    }

    package var isCode: Bool { permissions == "r-xp" }

    /// Those of all mappings that are only read and hold what their files hold. The dynamic linker writes to some before it
    /// protects them: such pages can't be read again from the file.
    package static func unchangedConstants(smaps: [String]) -> Set<Self> {
        var constants: Set<Self> = []
        var current: Self?
        for line in smaps {
            let fields = line.split(whereSeparator: \.isWhitespace)
            guard let first = fields.first else { continue }
            if first.last != ":" {
                current = Self(line)
            } else if let mapping = current, mapping.permissions == "r--p" {
                switch first {
                // The first of the amounts: until another says otherwise, nothing of its own is there.
                case "Size:": constants.insert(mapping)
                case "Anonymous:", "Swap:": if fields.dropFirst().first != "0" { constants.remove(mapping) }
                default: break
                }
            }
        }
        return constants
    }
}
