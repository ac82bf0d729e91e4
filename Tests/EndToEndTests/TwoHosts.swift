// Two hosts for tests, with a switch between them that can be cut: network namespaces, where this machine lets a test make them.

import Foundation
import Synchronization

/// Two hosts and a switch between them, as network namespaces. Gone with the owner.
final class TwoHosts {
    /// Suites run beside each other in one process.
    private static let made = Atomic<Int>(0)
    private let prefix =
        "cz\(getpid() % 100_000)-\(TwoHosts.made.wrappingAdd(1, ordering: .relaxed).newValue)-"
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

/// A node on each of two hosts, which know each other.
final class TwoNodes {
    let hosts: TwoHosts
    private let secret: TemporaryFile
    private let port: Int
    private let logs: [URL]
    private var nodes: [Process] = []

    init(port: Int) throws {
        self.port = port
        hosts = try TwoHosts()
        secret = try TemporaryFile("0123456789abcdef\n")
        logs = (0..<2).map { _ in
            FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-cut-\(UUID().uuidString).log")
        }
        nodes = try (0..<2).map { try start($0) }
        for _ in 0..<100 where try !isUp { usleep(100_000) }
        guard try isUp else { throw TestFailure("the nodes don't find each other: \(try log(0))") }
    }

    deinit {
        for node in nodes { node.terminate() }
        for log in logs { try? FileManager.default.removeItem(at: log) }
    }

    private func start(_ at: Int) throws -> Process {
        let peers = TwoHosts.addresses.enumerated().map { "n\($0.offset + 1)=\($0.element):\(port)" }
            .joined(separator: ",")
        return try hosts.process(
            on: at,
            [
                "serve", "--exit-on-stdin-close", "-l", "0.0.0.0", "--name", "n\(at + 1)", "--peers", peers,
                // Commands come by the nodes' own addresses, which are no loopback.
                "--cluster-secret", secret.path, "--open-roles", "admin",
            ], log: logs[at])
    }

    var isUp: Bool { get throws { try run(["cluster", "status"]).code == 0 } }

    func log(_ at: Int) throws -> String { try String(contentsOf: logs[at], encoding: .utf8) }

    /// Runs a command on a node's host, against that node.
    func run(_ arguments: [String], on at: Int = 0) throws -> Finished {
        try hosts.command(on: at, arguments + ["--server", "\(TwoHosts.addresses[at]):\(port)"])
    }

    func query(_ key: String, on at: Int = 0) throws -> Finished { try run(["query", key], on: at) }
    func set(_ key: String, _ value: String, on at: Int = 0) throws -> Finished {
        try run(["set", key, value], on: at)
    }

    /// Until both are up again and have told each other what is new: a second, and what it takes to answer.
    func healAndMeet() throws {
        try hosts.heal()
        for _ in 0..<100 where try !isUp { usleep(50_000) }
        guard try isUp else { throw TestFailure("the nodes don't find each other again: \(try log(0))") }
    }
}
