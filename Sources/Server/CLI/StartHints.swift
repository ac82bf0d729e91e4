// What about the machine is too small for what a node was started with: said at the start, in a line that names the remedy,
// before the kernel says it in its own way.

import Glibc

/// What the machine, or the group of processes that this one is in, has in memory.
package struct MemoryCeiling: Sendable, Equatable {
    package var bytes: Int
    /// `memory.max of the cgroup`, or `this machine's memory`.
    package var name: String

    package init(bytes: Int, name: String) { (self.bytes, self.name) = (bytes, name) }

    /// The lowest one; nil where nothing says. `read`: a file's text, nil where it is not there.
    package static func find(read: (String) -> String?) -> MemoryCeiling? {
        var ceilings: [MemoryCeiling] = []
        let line = read("/proc/meminfo")?.split(separator: "\n").first { $0.hasPrefix("MemTotal:") }
        if let line, let kilobytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) {
            ceilings.append(MemoryCeiling(bytes: kilobytes << 10, name: "this machine's memory"))
        }
        for entry in (read("/proc/self/cgroup") ?? "").split(separator: "\n") {
            let fields = entry.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let (root, file): (String, String)
            if fields[0] == "0", fields[1].isEmpty {
                (root, file) = ("/sys/fs/cgroup", "memory.max")
            } else if fields[1].split(separator: ",").contains("memory") {
                (root, file) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            } else {
                continue
            }
            // A group has what the groups around it have, too. In a container the path is that outside of it, and the root is its
            // own.
            var path = fields[2].split(separator: "/")
            while true {
                let folder = ([root] + path.map(String.init)).joined(separator: "/")
                if let text = read("\(folder)/\(file)"), let bytes = Int(text.filter { !$0.isWhitespace }) {
                    ceilings.append(MemoryCeiling(bytes: bytes, name: "\(file) of the cgroup"))
                }
                if path.isEmpty { break }
                path.removeLast()
            }
        }
        return ceilings.min { $0.bytes < $1.bytes }
    }
}

package enum StartHints {
    /// All that apply, a line each. `read` as for `MemoryCeiling.find`.
    package static func all(
        itemMegabytes: Int, frameMegabytes: Int, backlog: Int, read: (String) -> String?
    ) -> [String] {
        [
            memory(itemMegabytes: itemMegabytes, frameMegabytes: frameMegabytes, MemoryCeiling.find(read: read)),
            self.backlog(backlog, read("/proc/sys/net/core/somaxconn")),
            hugePages(itemMegabytes: itemMegabytes, read("/sys/kernel/mm/transparent_hugepage/enabled")),
        ].compactMap { $0 }
    }

    private static func memory(itemMegabytes: Int, frameMegabytes: Int, _ ceiling: MemoryCeiling?) -> String? {
        let wanted = itemMegabytes + frameMegabytes
        guard let ceiling, wanted > ceiling.bytes >> 20 else { return nil }
        return """
            -m \(itemMegabytes) and --frame-memory \(frameMegabytes) may take \(wanted) MiB, and \(ceiling.name) is \
            \(ceiling.bytes >> 20) MiB: the kernel may end the process once they are full. Ask for less, or raise the \
            limit (MemoryMax of systemd, resources.limits of Kubernetes).
            """
    }

    private static func backlog(_ wanted: Int, _ text: String?) -> String? {
        guard let allowed = text.flatMap({ Int($0.filter { !$0.isWhitespace }) }), wanted > allowed else { return nil }
        return """
            -b \(wanted) is more connections than the kernel lets wait, \(allowed): raise it \
            (sysctl net.core.somaxconn=\(wanted)), or ask for fewer.
            """
    }

    /// The index of many items is one large piece of memory: with small pages looking up a key costs the processor a walk more.
    private static func hugePages(itemMegabytes: Int, _ text: String?) -> String? {
        guard itemMegabytes >= 1_024, text?.contains("[never]") == true else { return nil }
        return """
            -m \(itemMegabytes) is served faster with huge pages, which are turned off here: echo madvise > \
            /sys/kernel/mm/transparent_hugepage/enabled lets the index have them.
            """
    }
}
