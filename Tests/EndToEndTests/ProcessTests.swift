// A serving process and what is around it: signals, its pid file, its unix socket.

import Foundation
import Testing

@Suite(.serialized) struct ProcessTests {
    /// A folder that goes with the test.
    private final class Folder {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(
            "cacheismo-\(UUID().uuidString.prefix(8))"
        ).path
        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
        func file(_ name: String) -> String { path + "/" + name }
        func text(_ name: String) -> String? { try? String(contentsOfFile: file(name), encoding: .utf8) }
        func write(_ name: String, _ text: String) throws {
            try text.write(toFile: file(name), atomically: false, encoding: .utf8)
        }
        func has(_ name: String) -> Bool { (try? FileManager.default.attributesOfItem(atPath: file(name))) != nil }
    }

    private func node(_ arguments: String...) throws -> TestNode {
        TestNode(name: "n", port: try TestCluster.freePorts(1)[0], arguments: arguments)
    }

    /// Starts a server that must not start; the line that it says.
    private func refused(_ arguments: String...) throws -> String {
        let node = TestNode(name: "second", port: try TestCluster.freePorts(1)[0], arguments: arguments)
        do {
            try node.start()
            node.stop()
            Issue.record("it started")
        } catch let failure as TestFailure { return failure.description }
        return ""
    }

    @Test("signals that mean nothing leave a node as it is; it reads its files again on SIGHUP")
    func harmlessSignals() throws {
        let folder = try Folder()
        try folder.write(
            "types.lua",
            "local T = object \"probe\"\nfunction T.new() return { n = 1 } end\nfunction T:n() return 1 end\n")
        let node = try node("--scripts", folder.path)
        try node.start()
        let wire = try Wire(port: node.port)
        #expect(try wire.exchange("set k 0 0 1\r\n1\r\n", until: "\r\n") == "STORED\r\n")
        let harmless =
            [
                SIGHUP, SIGPIPE, SIGUSR2, SIGHUP, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGXFSZ, SIGURG, SIGWINCH,
                SIGCHLD, SIGCONT,
            ]
            + [16, 34, 35, 50, 64]
        for number in harmless {
            node.signal(number)
            usleep(20_000)
            #expect(try wire.exchange("get k\r\n", until: "END\r\n") == "VALUE k 0 1\r\n1\r\nEND\r\n")
        }
        node.stop()
        #expect(node.exitCode == 0)
    }

    @Test(
        "the signals that end a node leave neither a pid file nor a socket",
        arguments: [SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGXCPU, SIGPWR])
    func ends(number: Int32) throws {
        let folder = try Folder()
        let node = try node("-P", folder.file("pid"))
        try node.start()
        #expect(folder.text("pid")?.hasSuffix("\n") == true)
        node.stop(number)
        #expect(node.exitCode == 0)
        #expect(!folder.has("pid"))
    }

    @Test("a signal that comes as soon as a node listens ends it in good order")
    func endsAtOnce() throws {
        for round in 0..<10 {
            let folder = try Folder()
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Place.binary)
            process.arguments = ["serve", "--exit-on-stdin-close", "-s", folder.file("socket"), "-p", "0"]
            process.standardInput = Pipe()
            process.standardError = FileHandle.nullDevice
            try process.run()
            while process.isRunning && !folder.has("socket") {}
            kill(process.processIdentifier, round.isMultiple(of: 2) ? SIGTERM : SIGINT)
            process.awaitEnd(seconds: 120)
            #expect(process.terminationReason == .exit && process.terminationStatus == 0)
            #expect(!folder.has("socket"))
        }
    }

    @Test("a pid file of a server that runs is refused, one of a server that is gone is taken over")
    func pidFiles() throws {
        let folder = try Folder()
        let first = try node("-P", folder.file("pid"))
        try first.start()
        let text = folder.text("pid")
        #expect(try refused("-P", folder.file("pid")).contains("which runs"))
        #expect(folder.text("pid") == text)
        first.stop(SIGKILL)
        #expect(folder.has("pid"))
        let second = try node("-P", folder.file("pid"))
        try second.start()
        #expect(folder.text("pid") != text)
        // Somebody put another file there: it is not this server's to take away.
        try FileManager.default.removeItem(atPath: folder.file("pid"))
        try folder.write("pid", "1\n")
        second.stop()
        #expect(folder.text("pid") == "1\n")
    }

    @Test("a server whose port is taken leaves no pid file, and names nobody in that of a server that is gone")
    func portTaken() throws {
        let folder = try Folder()
        let first = try node()
        try first.start()
        // A number that no process can have.
        try folder.write("gone", "2147483647\n")
        for name in ["new", "gone"] {
            let second = TestNode(name: "second", port: first.port, arguments: ["-P", folder.file(name)])
            do {
                try second.start()
                second.stop()
                Issue.record("it started")
            } catch let failure as TestFailure { #expect(failure.description.contains("\(first.port)")) }
        }
        #expect(!folder.has("new"))
        #expect(folder.text("gone") == "")
        first.stop()
    }

    @Test("a pid file of a process that has ended, and whose end nobody has asked for, is taken over")
    func zombie() throws {
        let folder = try Folder()
        // The shell becomes a sleep, which never asks how its child ended.
        let parent = Process()
        parent.executableURL = URL(fileURLWithPath: "/bin/sh")
        parent.arguments = ["-c", "sh -c 'echo $$ > \"$1\"' sh \"$1\" & exec sleep 60", "sh", folder.file("pid")]
        try parent.run()
        defer { parent.terminate() }
        var isZombie = false
        for _ in 0..<500 where !isZombie {
            usleep(10_000)
            guard let pid = folder.text("pid")?.split(separator: "\n").first,
                let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
            else { continue }
            isZombie = text.contains(") Z ")
        }
        try #require(isZombie)
        let server = try node("-P", folder.file("pid"))
        try server.start()
        server.stop()
    }

    @Test("a pid file is no link, and no file of another kind: nothing is written over")
    func otherFiles() throws {
        let folder = try Folder()
        try folder.write("precious", "words\n")
        try FileManager.default.createSymbolicLink(
            atPath: folder.file("link"), withDestinationPath: folder.file("precious"))
        #expect(try refused("-P", folder.file("link")).contains("symbolic link"))
        #expect(try refused("-P", folder.file("precious")).contains("is no pid file"))
        #expect(try refused("-P", folder.file("none/pid")).contains("can't write the pid file"))
        try FileManager.default.createSymbolicLink(
            atPath: folder.file("nowhere"), withDestinationPath: folder.file("new"))
        #expect(try refused("-P", folder.file("nowhere")).contains("symbolic link"))
        #expect(!folder.has("new"))
        #expect(folder.text("precious") == "words\n")
    }

    @Test("a socket that somebody listens on is refused, and stays; one that nobody listens on is taken over")
    func sockets() throws {
        let folder = try Folder()
        let path = folder.file("socket")
        func start(_ path: String) throws -> Process {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Place.binary)
            process.arguments = ["serve", "--exit-on-stdin-close", "-s", path, "-a", "640", "-p", "0"]
            process.standardInput = Pipe()
            let errors = Pipe()
            process.standardError = errors
            try process.run()
            return process
        }
        func awaitSocket(of process: Process) {
            for _ in 0..<500 where process.isRunning && !folder.has("socket") { usleep(10_000) }
        }
        let first = try start(path)
        awaitSocket(of: first)
        let before = try FileManager.default.attributesOfItem(atPath: path)
        #expect(before[.posixPermissions] as? Int == 0o640)
        let second = try start(path)
        second.awaitEnd()
        #expect(second.terminationStatus != 0)
        let after = try FileManager.default.attributesOfItem(atPath: path)
        #expect(after[.systemFileNumber] as? UInt64 == before[.systemFileNumber] as? UInt64)
        kill(first.processIdentifier, SIGKILL)
        first.awaitEnd()
        #expect(folder.has("socket"))
        // Taking it over, the third one puts a socket of its own in its place.
        func made() -> Date? {
            (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
        }
        let stale = made()
        let third = try start(path)
        for _ in 0..<6_000 where third.isRunning && [nil, stale].contains(made()) { usleep(10_000) }
        #expect(third.isRunning)
        third.terminate()
        third.awaitEnd()
        #expect(!folder.has("socket"))
        try folder.write("socket", "a file\n")
        let fourth = try start(path)
        fourth.awaitEnd()
        #expect(fourth.terminationStatus != 0 && folder.text("socket") == "a file\n")
    }

    @Test("no TCP and no socket is refused with what to do")
    func noPlace() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Place.binary)
        process.arguments = ["serve", "-p", "0"]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        process.awaitEnd()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(process.terminationStatus != 0 && text.contains("--port 0"))
    }
}
