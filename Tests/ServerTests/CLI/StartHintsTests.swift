// What is said at the start of a machine that is too small for what was asked for.

import Engine
import Server
import Testing

@Suite struct StartHintsTests {
    private func hints(
        _ items: Int, _ frames: Int, backlog: Int = 1_024, _ files: [String: String]
    ) -> [String] {
        StartHints.all(itemMegabytes: items, frameMegabytes: frames, backlog: backlog) { files[$0] }
    }

    private static let machine = "MemTotal:        2097152 kB\nMemFree: 1 kB\n"

    @Test(
        "memory's ceiling is the lowest of the machine, the process's group and those around it",
        arguments: [
            ([:], nil, ""), (["/proc/meminfo": machine], 2_048, "this machine's memory"),
            (
                [
                    "/proc/meminfo": machine, "/proc/self/cgroup": "0::/a/b\n",
                    "/sys/fs/cgroup/a/b/memory.max": "max\n",
                    "/sys/fs/cgroup/a/memory.max": "536870912\n",
                ], 512, "memory.max of the cgroup"
            ),
            (
                [
                    "/proc/self/cgroup": "0::/../outside\n", "/sys/fs/cgroup/memory.max": "1073741824\n",
                    "/proc/meminfo": machine,
                ], 1_024, "memory.max of the cgroup"
            ),
            (
                [
                    "/proc/self/cgroup": "9:cpu:/x\n4:memory:/a\n0::/\n",
                    "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "268435456",
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                ], 256, "memory.limit_in_bytes of the cgroup"
            ),
            (["/proc/self/cgroup": "garbage\n::\n", "/proc/meminfo": "MemTotal:\n"], nil, ""),
        ] as [([String: String], Int?, String)])
    func ceilings(files: [String: String], megabytes: Int?, name: String) {
        #expect(MemoryCeiling.find { files[$0] } == megabytes.map { MemoryCeiling(bytes: $0 << 20, name: name) })
    }

    @Test("each hint is said where it applies, in a line that names the remedy, and nowhere else")
    func lines() {
        let files = [
            "/proc/meminfo": Self.machine, "/proc/sys/net/core/somaxconn": "128\n",
            "/sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
        ]
        #expect(hints(64, 1_024, backlog: 128, files) == [])
        let all = hints(2_000, 1_024, files)
        #expect(all.count == 3 && all.allSatisfy { !$0.contains("\n") })
        for (line, words) in zip(
            all,
            [
                ["may take 3024 MiB", "this machine's memory is 2048 MiB", "MemoryMax"],
                ["-b 1024", "128", "net.core.somaxconn=1024"], ["-m 2000", "transparent_hugepage"],
            ])
        {
            for word in words { #expect(line.contains(word), "\(line)") }
        }
        #expect(
            hints(2_000, 1, backlog: 1, ["/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never"]) == []
        )
        #expect(hints(1 << 20, 1 << 20, backlog: 1 << 20, [:]) == [])
    }

    @Test("a place where nobody can be told is refused")
    func places() throws {
        for place in ["relative", "@", "/", "", "vsock:2:1234", "/" + String(repeating: "x", count: 107)] {
            #expect(throws: Failure.self, "\(place)") { try ServiceNotifier(place: place) }
        }
        let nobody = try ServiceNotifier(place: "/nonexistent/notify")
        #expect(throws: Failure.self) { try nobody.tell(.stopping) }
    }
}
