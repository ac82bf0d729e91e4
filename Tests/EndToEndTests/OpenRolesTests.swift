// Roles of a real node: from this machine and from beyond it, by -Y over each protocol, read again.

import Foundation
import Testing

@Suite struct OpenRolesTests {
    /// Of this machine, and not loopback; nil where it has none.
    private static let ownAddress: String? = {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return nil }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr, Int32(address.pointee.sa_family) == AF_INET else { continue }
            var text = [CChar](repeating: 0, count: 64)
            guard
                getnameinfo(
                    address, socklen_t(MemoryLayout<sockaddr_in>.size), &text, socklen_t(text.count), nil, 0,
                    NI_NUMERICHOST) == 0
            else { continue }
            let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if !name.hasPrefix("127.") { return name }
        }
        return nil
    }()

    private static func node(_ arguments: [String]) throws -> TestNode {
        let node = TestNode(name: "n", port: try TestCluster.freePorts(1)[0], arguments: arguments)
        try node.start()
        return node
    }

    private static func command(_ arguments: [String], _ address: String, _ node: TestNode) throws -> Finished {
        try Finished.run(Place.binary, arguments + ["--server", "\(address):\(node.port)"])
    }

    @Test(
        "without passwords this machine may do everything, others what is open to them, and the start says so",
        .enabled(if: ownAddress != nil), arguments: [nil, "read"])
    func beyond(openRoles: String?) throws {
        let address = try #require(Self.ownAddress)
        let node = try Self.node(["-l", "0.0.0.0"] + (openRoles.map { ["--open-roles", $0] } ?? []))
        defer { node.stop() }
        var said: [Substring] = []
        // It is said behind the first answer that there can be.
        for _ in 0..<500 where said.isEmpty {
            said = node.logText.split(separator: "\n").filter { $0.contains("no passwords (-Y)") }
            if said.isEmpty { usleep(10_000) }
        }
        #expect(said.count == 1 && said[0].contains(openRoles ?? "read, write, flush"), "\(node.logText)")
        let job = try TemporaryFile("function map(shard, p) return 1 end function reduce(a, b) return a + b end")
        let steps: [(arguments: [String], open: Bool)] = [
            (["set", "k", "v"], openRoles == nil), (["get", "k"], true), (["query", "map:new:m"], openRoles == nil),
            (["query", "frame:list:"], true), (["cluster", "status"], true),
            (["job", "run", job.path], false), (["query", "job:drop:none"], false),
        ]
        for (arguments, open) in steps {
            let here = try Self.command(arguments, "127.0.0.1", node)
            #expect(!here.errors.contains("not allowed:"), "\(arguments): \(here.errors)")
            let beyond = try Self.command(arguments, address, node)
            #expect(beyond.errors.contains("not allowed:") == !open, "\(arguments): \(beyond.errors)")
        }
        let wire = try Wire(port: node.port, host: address)
        let flush = try wire.exchange("flush_all\r\n", until: "\r\n")
        #expect(
            flush
                == (openRoles == nil
                    ? "OK\r\n" : "CLIENT_ERROR not allowed: flush_all needs the role flush; you have read\r\n"))
        let watch = try wire.exchange("watch fetchers\r\n", until: "\r\n")
        #expect(watch.hasPrefix("CLIENT_ERROR not allowed: watch needs the role admin"))
    }

    @Test("a name has the roles of its line over memcached, HTTP and commands; SIGHUP reads them again")
    func users() throws {
        let users = try TemporaryFile("eve:pw:read\nroot:pw\n")
        let password = try TemporaryFile("pw\n")
        let http = try TestCluster.freePorts(1)[0]
        let port = try TestCluster.freePorts(1)[0]
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Place.binary)
        process.arguments = [
            "serve", "-p", "\(port)", "-Y", users.path, "--exit-on-stdin-close", "--http", "127.0.0.1:\(http)",
        ]
        process.standardInput = Pipe()
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer { kill(process.processIdentifier, SIGKILL) }
        func command(_ arguments: [String], as name: String) throws -> Finished {
            try Finished.run(
                Place.binary,
                arguments + ["--login", name, "--password-file", password.path, "--server", "127.0.0.1:\(port)"])
        }
        for _ in 0..<200 where try command(["set", "k", "v"], as: "root").code != 0 { usleep(50_000) }
        #expect(try command(["get", "k"], as: "eve").output == "v\n")
        #expect(try command(["set", "k", "w"], as: "eve").errors.contains("not allowed:"))
        let wire = try Wire(port: port)
        #expect(try wire.exchange("set x 0 0 6\r\neve pw\r\n", until: "\r\n") == "STORED\r\n")
        #expect(
            try wire.exchange("set k 0 0 1\r\nw\r\n", until: "\r\n")
                == "CLIENT_ERROR not allowed: set needs the role write; you have read\r\n")
        func put() throws -> String {
            try Finished.run(
                "/usr/bin/curl",
                [
                    "-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", "eve:pw", "-X", "PUT", "-d", "x",
                    "http://127.0.0.1:\(http)/v1/items/k",
                ]
            ).output
        }
        #expect(try put() == "403")
        try Data("eve:pw:write\n".utf8).write(to: URL(fileURLWithPath: users.path))
        kill(process.processIdentifier, SIGHUP)
        for _ in 0..<200 where try put() != "204" { usleep(50_000) }
        #expect(try put() == "204" && command(["get", "k"], as: "eve").output == "x\n")
        // Who was connected has what they had.
        #expect(try wire.exchange("set k 0 0 1\r\nw\r\n", until: "\r\n").hasPrefix("CLIENT_ERROR not allowed"))
    }

    @Test("a list that is none, and one beside -Y, is refused in one line")
    func options() throws {
        let users = try TemporaryFile("eve:pw:read\n")
        let wrong = try TemporaryFile("eve:pw:read,wrte\n")
        let port = try TestCluster.freePorts(1)[0]
        for arguments in [
            ["--open-roles", "reader"], ["-Y", users.path, "--open-roles", "read"], ["-Y", wrong.path],
        ] {
            let run = try Finished.run(Place.binary, ["serve", "-p", "\(port)"] + arguments)
            #expect(run.code != 0 && run.errors.contains("ole"), "\(arguments) \(run)")
        }
    }
}
