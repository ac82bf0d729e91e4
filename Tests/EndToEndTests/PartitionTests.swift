// A cut between two nodes that nobody is told of: in network namespaces, where this machine lets a test make them.

import Foundation
import Testing

/// Two hosts and a switch between them, as network namespaces. Gone with the owner.
private final class TwoHosts {
    private let prefix = "cz\(getpid() % 100_000)"
    static let addresses = ["10.217.0.1", "10.217.0.2"]

    init() throws {
        try run("netns", "add", "\(prefix)s")
        try run("-n", "\(prefix)s", "link", "add", "br0", "type", "bridge")
        try run("-n", "\(prefix)s", "link", "set", "br0", "up")
        for (at, address) in Self.addresses.enumerated() {
            try run("netns", "add", "\(prefix)\(at)")
            try run(
                "-n", "\(prefix)\(at)", "link", "add", "eth", "type", "veth", "peer", "name", "p\(at)", "netns",
                "\(prefix)s")
            try run("-n", "\(prefix)s", "link", "set", "p\(at)", "master", "br0", "up")
            try run("-n", "\(prefix)\(at)", "addr", "add", "\(address)/24", "dev", "eth")
            try run("-n", "\(prefix)\(at)", "link", "set", "lo", "up")
            try run("-n", "\(prefix)\(at)", "link", "set", "eth", "up")
        }
    }

    deinit { for end in ["0", "1", "s"] { _ = try? Finished.run("/usr/sbin/ip", ["netns", "del", prefix + end]) } }

    static var areAllowed: Bool {
        guard getuid() == 0, FileManager.default.isExecutableFile(atPath: "/usr/sbin/ip") else { return false }
        return (try? TwoHosts()) != nil
    }

    private func run(_ arguments: String...) throws {
        let done = try Finished.run("/usr/sbin/ip", arguments)
        guard done.code == 0 else { throw TestFailure("ip \(arguments): \(done.errors)") }
    }

    /// What is sent between the two is lost, and neither learns of it.
    func cut() throws { try run("-n", "\(prefix)s", "link", "set", "p1", "nomaster") }
    func heal() throws { try run("-n", "\(prefix)s", "link", "set", "p1", "master", "br0") }

    func process(on host: Int, _ arguments: [String], log: URL) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/sbin/ip")
        process.arguments = ["netns", "exec", "\(prefix)\(host)", Place.binary] + arguments
        process.standardInput = Pipe()
        _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        process.standardError = try FileHandle(forWritingTo: log)
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        return process
    }

    func command(on host: Int, _ arguments: [String]) throws -> Finished {
        try Finished.run("/usr/sbin/ip", ["netns", "exec", "\(prefix)\(host)", Place.binary] + arguments)
    }
}

@Suite(.serialized, .enabled(if: TwoHosts.areAllowed, "needs root and ip netns"))
struct PartitionTests {
    @Test("after a silent cut the first answer comes within two seconds of the heal, and nothing late is done")
    func cut() throws {
        let hosts = try TwoHosts()
        let secret = try TemporaryFile("0123456789abcdef\n")
        let port = 21_710
        let peers = TwoHosts.addresses.enumerated().map { "n\($0.offset + 1)=\($0.element):\(port)" }
            .joined(separator: ",")
        let logs = (0..<2).map { at in
            FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-cut-\(getpid())-\(at).log")
        }
        defer { for log in logs { try? FileManager.default.removeItem(at: log) } }
        let nodes = try (0..<2).map { at in
            try hosts.process(
                on: at,
                [
                    "serve", "--exit-on-stdin-close", "-l", "0.0.0.0", "--name", "n\(at + 1)", "--peers", peers,
                    "--cluster-secret", secret.path,
                ], log: logs[at])
        }
        defer { for node in nodes { node.terminate() } }
        let server = ["--server", "\(TwoHosts.addresses[0]):\(port)"]
        func isUp() throws -> Bool { try hosts.command(on: 0, ["cluster", "status"] + server).code == 0 }
        for _ in 0..<100 where try !isUp() { usleep(100_000) }
        try #require(try isUp())
        // Counters that belong to the other host.
        let names = (0..<12).map { "c\($0)" }
        func query(_ key: String) throws -> Finished { try hosts.command(on: 0, ["query", key] + server) }
        for name in names { #expect(try query("counter:new:\(name):0").code == 0) }
        try hosts.cut()
        var failed: [String] = []
        for name in names where try query("counter:add:\(name):1").code != 0 { failed.append(name) }
        #expect(!failed.isEmpty && failed.count < names.count)
        sleep(12)
        try hosts.heal()
        let healed = Date()
        while try query("counter:get:\(failed[0])").code != 0, Date().timeIntervalSince(healed) < 10 { usleep(20_000) }
        #expect(Date().timeIntervalSince(healed) < 4, "\(Date().timeIntervalSince(healed)) s")
        sleep(1)
        for name in names {
            #expect(try query("counter:get:\(name)").output == (failed.contains(name) ? "0\n" : "1\n"))
        }
        let log = try String(contentsOf: logs[0], encoding: .utf8)
        #expect(log.contains("peer n2") && log.contains("is lost") && log.contains("is back"), "\(log)")
    }
}
