// Real nodes for tests: processes on free loopback ports, stopped and reaped when the test is done with them.

import Foundation
import Testing

/// Where things are, from this file's own place.
enum Place {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let binary =
        ProcessInfo.processInfo.environment["CACHEISMO_BINARY"]
        ?? root.appendingPathComponent(".build/release/cacheismo").path
    static let python = root.appendingPathComponent(".build-clients/bin/python").path

    static func file(_ path: String) -> String { root.appendingPathComponent(path).path }
}

struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// One node's process. Its standard input is a pipe that closes with the test, and with it the node.
final class TestNode {
    let name: String
    let port: Int
    private let arguments: [String]
    private let givesPort: Bool
    private var process: Process?
    private let log: URL

    init(name: String, port: Int, givesPort: Bool = true, arguments: [String]) {
        self.name = name
        self.port = port
        self.givesPort = givesPort
        self.arguments = arguments
        log = FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-test-\(UUID().uuidString).log")
    }

    deinit { try? FileManager.default.removeItem(at: log) }

    func start() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Place.binary)
        process.arguments =
            ["serve", "--exit-on-stdin-close"] + (givesPort ? ["--port", "\(port)"] : []) + arguments
        process.standardInput = Pipe()
        process.standardOutput = FileHandle.nullDevice
        _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        process.standardError = try FileHandle(forWritingTo: log)
        try process.run()
        self.process = process
        for _ in 0..<500 {
            guard process.isRunning else { throw TestFailure("node \(name) ended: \(logText)") }
            // Another test's server may have been given the port a moment ago, and answers until ours has ended.
            let answer = try? Wire(port: port).exchange("stats\r\n", until: "END\r\n")
            if answer?.contains("STAT pid \(process.processIdentifier)\r\n") == true { return }
            usleep(20_000)
        }
        throw TestFailure("node \(name) does not answer: \(logText)")
    }

    var logText: String { (try? String(contentsOf: log, encoding: .utf8)) ?? "" }

    var processIdentifier: Int32? { process?.processIdentifier }

    func signal(_ number: Int32) { if let process, process.isRunning { kill(process.processIdentifier, number) } }

    /// Stops all of the process, and comes back once it stands.
    func hang() throws {
        guard let process else { return }
        signal(SIGSTOP)
        for _ in 0..<200 {
            let threads =
                (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.processIdentifier)/task")) ?? []
            let areStopped = threads.allSatisfy { thread in
                let path = "/proc/\(process.processIdentifier)/task/\(thread)/stat"
                guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return false }
                return text[(text.lastIndex(of: ")") ?? text.startIndex)...].hasPrefix(") T")
            }
            if areStopped { return }
            usleep(10_000)
        }
        throw TestFailure("\(name) does not stop")
    }

    /// Of the process that was stopped last.
    private(set) var exitCode: Int32?

    func stop(_ number: Int32 = SIGTERM) {
        guard let process else { return }
        signal(SIGCONT)
        signal(number)
        for _ in 0..<1_000 where process.isRunning { usleep(10_000) }
        signal(SIGKILL)
        process.awaitEnd()
        exitCode = process.terminationStatus
        self.process = nil
    }
}

/// Some nodes that know each other.
final class TestCluster {
    let nodes: [TestNode]

    /// `ofNode`: what a node is started with beyond `arguments`, by its index.
    init(nodes count: Int, arguments: [String] = [], ofNode: (Int) -> [String] = { _ in [] }) throws {
        do { nodes = try Self.start(count, arguments, ofNode) } catch {
            // A port that was free is not any more: others will be.
            guard "\(error)".contains("it is in use") else { throw error }
            nodes = try Self.start(count, arguments, ofNode)
        }
    }

    private static func start(
        _ count: Int, _ arguments: [String], _ ofNode: (Int) -> [String]
    ) throws -> [TestNode] {
        let ports = try freePorts(count)
        let peers = ports.enumerated().map { "n\($0.offset + 1)=127.0.0.1:\($0.element)" }.joined(separator: ",")
        let nodes = ports.enumerated().map { index, port in
            TestNode(
                name: "n\(index + 1)", port: port,
                arguments: (count == 1 ? [] : ["--name", "n\(index + 1)", "--peers", peers]) + arguments
                    + ofNode(index))
        }
        do { for node in nodes { try node.start() } } catch {
            for node in nodes { node.stop() }
            throw error
        }
        return nodes
    }

    deinit { stop() }

    func stop() { for node in nodes { node.stop() } }

    subscript(index: Int) -> TestNode { nodes[index] }

    /// Runs a client command against one of the nodes.
    func run(_ arguments: [String], on node: Int = 0) throws -> Finished {
        try Finished.run(Place.binary, arguments + ["--server", "127.0.0.1:\(nodes[node].port)"])
    }

    func loadFlights(from node: Int = 0) throws {
        let load = try run(["load", "flights", Place.file("datasets/flights.csv.zst")], on: node)
        guard load.code == 0 else { throw TestFailure("load: \(load.errors)") }
    }

    /// Ports that were free a moment ago: all are held at the same time, so that they differ.
    static func freePorts(_ count: Int) throws -> [Int] {
        var sockets: [Int32] = []
        defer { for socket in sockets { close(socket) } }
        return try (0..<count).map { _ in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            sockets.append(descriptor)
            var address = Wire.loopback(port: 0)
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let port = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic -> UInt16? in
                    guard bind(descriptor, generic, length) == 0, getsockname(descriptor, generic, &length) == 0 else {
                        return nil
                    }
                    return UnsafeRawPointer(generic).load(as: sockaddr_in.self).sin_port.bigEndian
                }
            }
            guard let port else { throw TestFailure("no free port") }
            return Int(port)
        }
    }
}

extension Process {
    /// Waits until it has ended. One that does not, in more time than any takes, is killed and said: a test that waits for ever tells nobody
    /// what for.
    func awaitEnd(seconds: Int = 1_200) {
        for _ in 0..<seconds * 200 where isRunning { usleep(5_000) }
        guard isRunning else { return }
        Issue.record("\(executableURL?.path ?? "?") \(arguments ?? []) did not end in \(seconds) s")
        kill(processIdentifier, SIGKILL)
        waitUntilExit()
    }
}

/// A program that has run to its end.
struct Finished {
    var code: Int32
    var output: String
    var errors: String
    var seconds: Double

    static func run(_ program: String, _ arguments: [String], input: String? = nil) throws -> Finished {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.currentDirectoryURL = Place.root
        let files = try (0..<2).map { _ in try TemporaryFile("") }
        process.standardOutput = try FileHandle(forWritingTo: files[0].url)
        process.standardError = try FileHandle(forWritingTo: files[1].url)
        // Until the end, as the file goes with it.
        let given = try input.map { try TemporaryFile($0) }
        defer { withExtendedLifetime(given) {} }
        if let given {
            process.standardInput = try FileHandle(forReadingFrom: given.url)
        } else {
            process.standardInput = FileHandle.nullDevice
        }
        let started = Date()
        try process.run()
        process.awaitEnd()
        return Finished(
            code: process.terminationStatus, output: try files[0].text, errors: try files[1].text,
            seconds: Date().timeIntervalSince(started))
    }

    var json: [String: Any]? {
        (try? JSONSerialization.jsonObject(with: Data(output.utf8))) as? [String: Any]
    }
}

/// A file that goes away with its owner.
final class TemporaryFile {
    let url: URL

    init(_ text: String, suffix: String = "") throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-\(UUID().uuidString)\(suffix)")
        try Data(text.utf8).write(to: url)
    }

    init(_ bytes: [UInt8], suffix: String) throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-\(UUID().uuidString)\(suffix)")
        try Data(bytes).write(to: url)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    var path: String { url.path }
    var text: String { get throws { try String(contentsOf: url, encoding: .utf8) } }
}

/// A memcached connection, byte for byte.
final class Wire {
    private let descriptor: Int32

    init(port: Int, host: String = "127.0.0.1", timeoutSeconds: Int = 20) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = Self.loopback(port: port)
        address.sin_addr.s_addr = inet_addr(host)
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        // What throws here is deinitialized too: the descriptor is closed there, and only there.
        guard isConnected else { throw TestFailure("can't connect to \(port)") }
    }

    deinit { close(descriptor) }

    static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    /// Nothing more is sent; what comes can still be read.
    func endInput() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Sends, then reads until the answer ends with `end`, with a pause between two pieces of 64 KiB.
    func exchange(_ text: String, until end: String, pauseMicroseconds: UInt32 = 0) throws -> String {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let sent = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { throw TestFailure("connection closed while sending") }
            bytes = bytes.dropFirst(sent)
        }
        var answer: [UInt8] = []
        let wanted = Array(end.utf8)
        var piece = [UInt8](repeating: 0, count: 65_536)
        while !answer.suffix(wanted.count).elementsEqual(wanted) {
            let got = recv(descriptor, &piece, piece.count, 0)
            guard got > 0 else {
                throw TestFailure("no more after '\(String(decoding: answer.suffix(2_000), as: UTF8.self))'")
            }
            answer.append(contentsOf: piece[..<got])
            if pauseMicroseconds > 0 { usleep(pauseMicroseconds) }
        }
        return String(decoding: answer, as: UTF8.self)
    }

    /// The value of one key; nil for a miss.
    func get(_ key: String) throws -> String? {
        let answer = try exchange("get \(key)\r\n", until: "\r\n")
        if answer == "END\r\n" { return nil }
        guard answer.hasPrefix("VALUE") else { return answer }
        let whole = answer.hasSuffix("END\r\n") ? answer : answer + (try exchange("", until: "END\r\n"))
        let body = whole[whole.range(of: "\r\n")!.upperBound...]
        return String(body.dropLast("\r\nEND\r\n".count))
    }

    func set(_ key: String, _ value: String) throws -> String {
        try exchange("set \(key) 0 0 \(value.utf8.count)\r\n\(value)\r\n", until: "\r\n")
    }
}
