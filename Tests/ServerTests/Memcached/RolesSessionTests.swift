// Every command of memcached's protocol with each role: refused in one line, or done as ever.

import Engine
import Gather
import Server
import Testing

@Suite struct RolesSessionTests {
    private static let users = Role.allCases.map { "\($0.rawValue):pw:\($0.rawValue)" }.joined(separator: "\n")

    private static func configuration(passwords: Bool = true) throws -> SessionConfiguration {
        var configuration = SessionConfiguration()
        if passwords {
            configuration.credentials = try Credentials(name: "users") { () throws(Failure) in Array(users.utf8) }
        }
        configuration.allowsShutdown = true
        return configuration
    }

    private static func harness(
        _ configuration: SessionConfiguration, from client: ClientAddress = .local
    ) -> SessionHarness<Router> {
        SessionHarness(
            Router(
                engine: Engine(EngineConfiguration(shards: 1, memoryBytes: 16 << 20)),
                services: { [FrameService(), JobService($0), IndexService(), ObjectService(), NodeService($0)] }),
            configuration, from: client)
    }

    private static func logIn(_ harness: SessionHarness<Router>, as role: Role) {
        harness.send("set x 0 0 \(role.rawValue.utf8.count + 3)\r\n\(role.rawValue) pw\r\n")
        #expect(harness.answer() == "STORED\r\n")
    }

    /// What is sent, what it is called in the refusal, and the role that it needs.
    private static let commands: [(send: String, name: String, needs: Role?)] = [
        ("get k", "get", .read), ("gets k", "gets", .read), ("get k l m", "get", .read),
        ("gat 0 k", "gat", .write), ("gats 0 k", "gats", .write),
        ("set k 0 0 1\r\nx", "set", .write), ("add k 0 0 1\r\nx", "add", .write),
        ("replace k 0 0 1\r\nx", "replace", .write), ("append k 0 0 1\r\nx", "append", .write),
        ("prepend k 0 0 1\r\nx", "prepend", .write), ("cas k 0 0 1 1\r\nx", "cas", .write),
        ("delete k", "delete", .write), ("incr k 1", "incr", .write), ("decr k 1", "decr", .write),
        ("touch k 0", "touch", .write),
        ("mg k v", "mg", .read), ("mg a2V5 b v", "mg", .read), ("mg k v T30", "mg", .write),
        ("mg k v N30", "mg", .write),
        ("mg k v R30", "mg", .write), ("me k", "me", .read), ("ms k 1\r\nx", "ms", .write), ("md k", "md", .write),
        ("ma k", "ma", .write), ("mn", "mn", nil),
        ("flush_all", "flush_all", .flush), ("flush_all 10", "flush_all", .flush),
        ("stats", "stats", .read), ("stats settings", "stats", .read), ("stats detail dump", "stats", .read),
        ("stats reset", "stats reset, or detail on,", .admin),
        ("stats detail on", "stats reset, or detail on,", .admin),
        ("version", "version", .read), ("verbosity 1", "verbosity", .admin), ("watch fetchers", "watch", .admin),
        ("cache_memlimit 64", "cache_memlimit", .admin), ("frame_memlimit 64", "frame_memlimit", .admin),
        ("lru_crawler crawl all", "lru_crawler", .admin), ("lru_crawler metadump all", "lru_crawler", .read),
        ("lru tune 10 25 0.1 2.0", "what tunes the server", .admin),
        ("get quota:reset:q", "quota:reset", .write), ("get map:get:m:k", "map:get", .read),
        ("get map:drop:m", "map:drop", .write), ("get map:ttl:m", "map:ttl", .read),
        ("set map:get:m 0 0 1\r\nk", "map:get", .read), ("set map:put:m:k 0 0 1\r\nx", "map:put", .write),
        ("mg map:put:m:k:v v", "map:put", .write), ("ms map:put:m:k 1\r\nx", "map:put", .write),
        ("get map:put:m:k:v k", "map:put", .write), ("mg bWFwOnB1dDptOms6dg== b v", "map:put", .write),
        ("set job:define:j 0 0 1\r\nx", "job:define", .script), ("get job:drop:j", "job:drop", .script),
        ("get job:cancel:1", "job:cancel", .admin), ("get frame:drop:f", "frame:drop", .admin),
        ("get frame:retain:f:1d", "frame:retain", .admin), ("set frame:append:f 0 0 2\r\n{}", "frame:append", .write),
        ("get frame:info:f", "frame:info", .read), ("get node:name:", "node:name", .read),
        ("shutdown", "shutdown", .admin), ("quit", "quit", nil),
    ]

    @Test("each command is refused to each role that it is not for, and to no other", arguments: Role.allCases)
    func walk(role: Role) async throws {
        for (send, name, needs) in Self.commands {
            for pieceBytes in [Int.max, 1] {
                let harness = Self.harness(try Self.configuration())
                Self.logIn(harness, as: role)
                harness.send(send + "\r\nmn\r\n", pieceBytes: pieceBytes)
                while !harness.session.isSettled {
                    await Task.yield()
                    harness.collect()
                }
                let answer = harness.answer()
                let isAllowed = needs.map { Roles(role).includes($0) } ?? true
                guard !isAllowed, let needs else {
                    #expect(!answer.contains("not allowed:"), "\(role) \(send): \(answer)")
                    continue
                }
                // The block is skipped, and what follows is answered.
                let refusal = "\(name) needs the role \(needs.rawValue); you have \(Roles(role).description)"
                #expect(answer == "CLIENT_ERROR not allowed: \(refusal)\r\nMN\r\n", "\(role) \(send)")
            }
        }
    }

    /// The same of the binary protocol.
    private static let packets: [(send: BinaryPacket, name: String, needs: Role?)] = [
        (.ask(0x00, "k"), "get", .read), (.ask(0x0C, "k"), "get", .read),
        (.ask(0x1C, "k", extras: [0, 0, 0, 9]), "touch", .write),
        (.ask(0x1D, "k", extras: [0, 0, 0, 9]), "gat", .write), (.ask(0x23, "k", extras: [0, 0, 0, 9]), "gat", .write),
        (.set("k", "x"), "set", .write), (.set("k", "x", opcode: 0x11), "set", .write),
        (.set("k", "x", opcode: 0x02), "add", .write), (.set("k", "x", opcode: 0x03), "replace", .write),
        (.ask(0x0E, "k", value: "x"), "append", .write), (.ask(0x0F, "k", value: "x"), "prepend", .write),
        (.ask(0x04, "k"), "delete", .write), (.count("k", 1), "incr", .write),
        (.count("k", 1, opcode: 0x06), "decr", .write), (.ask(0x08), "flush", .flush),
        (.ask(0x18), "flush", .flush), (.ask(0x10), "stat", .read), (.ask(0x10, "settings"), "stat", .read),
        (.ask(0x10, "reset"), "stat reset, or detail on,", .admin),
        (.ask(0x10, "detail on"), "stat reset, or detail on,", .admin), (.ask(0x0B), "version", nil),
        (.ask(0x0A), "noop", nil), (.ask(0x20), "SASL", nil), (.ask(0x00, "map:get:m:k"), "map:get", .read),
        (.ask(0x00, "map:drop:m"), "map:drop", .write), (.set("map:put:m:k", "x"), "map:put", .write),
        (.set("job:define:j", "x"), "job:define", .script), (.ask(0x00, "frame:drop:f"), "frame:drop", .admin),
        (.ask(0x00, "job:cancel:1"), "job:cancel", .admin),
    ]

    @Test("each request of the binary protocol, too, after a login by SASL", arguments: Role.allCases)
    func binary(role: Role) async throws {
        for (send, name, needs) in Self.packets {
            for pieceBytes in [Int.max, 1] {
                let harness = Self.harness(try Self.configuration())
                harness.send(BinaryPacket.ask(0x21, "PLAIN", value: "\0\(role.rawValue)\0pw").bytes)
                #expect(BinaryPacket.answers(harness.answerBytes())?.map(\.status) == [0])
                harness.send(send.bytes + BinaryPacket.ask(0x0A, opaque: 77).bytes, pieceBytes: pieceBytes)
                while !harness.session.isSettled {
                    await Task.yield()
                    harness.collect()
                }
                let answers = try #require(BinaryPacket.answers(harness.answerBytes()))
                #expect(answers.last == .answer(0x0A, opaque: 77), "\(role) \(name)")
                let isAllowed = needs.map { Roles(role).includes($0) } ?? true
                guard !isAllowed, let needs else {
                    #expect(answers.allSatisfy { $0.status != 0x20 }, "\(role) \(name): \(answers)")
                    continue
                }
                let refusal =
                    "not allowed: \(name) needs the role \(needs.rawValue); you have \(Roles(role).description)"
                #expect(answers.dropLast() == [.answer(send.opcode, value: refusal, status: 0x20)], "\(role) \(name)")
            }
        }
    }

    @Test("a quiet get of what may not be read is silent, and nothing that is refused has been done")
    func quiet() throws {
        let harness = Self.harness(try Self.configuration())
        let logIn = { (name: String) in BinaryPacket.ask(0x21, "PLAIN", value: "\0\(name)\0pw").bytes }
        harness.send(
            logIn("write") + BinaryPacket.set("k", "1").bytes + logIn("read") + BinaryPacket.set("k", "2").bytes)
        harness.send(BinaryPacket.ask(0x00, "k").bytes + logIn("flush") + BinaryPacket.ask(0x09, "k").bytes)
        harness.send(BinaryPacket.ask(0x0A).bytes)
        let answers = try #require(BinaryPacket.answers(harness.answerBytes()))
        #expect(answers.map(\.status) == [0, 0, 0, 0x20, 0, 0, 0])
        #expect(answers[4].value == Array("1".utf8))
    }

    @Test("what is refused has not been done, and noreply keeps silent about it")
    func nothingDone() throws {
        let harness = Self.harness(try Self.configuration())
        Self.logIn(harness, as: .read)
        harness.send("set k 0 0 1 noreply\r\nx\r\nget k\r\ndelete k noreply\r\nmn\r\n")
        #expect(harness.answer() == "END\r\nMN\r\n")
    }

    @Test("without passwords this machine may do everything, others what is open to them")
    func beyond() throws {
        let elsewhere = ClientAddress(host: "10.0.0.7")
        for (client, openRoles) in [
            (ClientAddress.local, Roles()), (ClientAddress(host: "127.0.0.1"), Roles()), (elsewhere, .asMemcached),
            (elsewhere, Roles(.read)), (elsewhere, Roles()), (elsewhere, .all),
        ] {
            let roles = client.isLocal ? Roles.all : openRoles
            var configuration = try Self.configuration(passwords: false)
            configuration.openRoles = openRoles
            for (send, _, needs) in Self.commands where !send.contains("job:") && !send.contains("frame:") {
                let harness = Self.harness(configuration, from: client)
                harness.send(send + "\r\n")
                let isAllowed = needs.map { roles.includes($0) } ?? true
                #expect(harness.answer().contains("not allowed:") == !isAllowed, "\(client.host) \(openRoles) \(send)")
            }
        }
    }

    @Test("a line of -Y may end in roles; a password may have colons, and a list that is partly one is a mistake")
    func lines() throws {
        func credentials(_ text: String) throws -> Credentials {
            try Credentials(name: "users") { () throws(Failure) in Array(text.utf8) }
        }
        func roles(_ text: String, _ name: String, _ password: String) throws -> Roles? {
            try credentials(text).roles(login: Array(name.utf8), password: Array(password.utf8))
        }
        #expect(try roles("a:b", "a", "b") == .all)
        #expect(try roles("a:b:read", "a", "b") == Roles(.read))
        #expect(try roles("a:b:write,flush\r\n", "a", "b") == .asMemcached)
        #expect(try roles("a:b:c", "a", "b:c") == .all)
        #expect(try roles("a:b:c:read", "a", "b:c") == Roles(.read))
        #expect(try roles("a:b:", "a", "b:") == .all)
        #expect(try roles("a:read", "a", "read") == .all)
        #expect(try roles("a:b:read", "a", "b:read") == nil)
        #expect(try roles("a:b:read\na:b:flush\na:c", "a", "b") == [Roles(.read), Roles(.flush)])
        for text in ["a:b:read,wrte", "a:b:read,", "a:b\nc:d:flush,,read"] {
            let failure = #expect(throws: Failure.self) { try credentials(text) }
            #expect(failure?.message.contains("is no role") == true, "\(text)")
        }
    }

    @Test(
        "after three wrong passwords the next answer comes late, right or wrong, and what follows it behind it")
    func late() async throws {
        let environment = SystemEnvironment()
        var configuration = try Self.configuration()
        // Its minute does not pass, however long all other tests take.
        let desk = LoginDesk(in: ClockedEnvironment.standingStill) { _ in }
        configuration.desk = desk
        let harness = Self.harness(configuration, from: ClientAddress(host: "10.0.0.7"))
        for _ in 0..<3 {
            harness.send("set x 0 0 7\r\nread no\r\n")
            #expect(harness.answer() == "CLIENT_ERROR authentication failure\r\n")
        }
        let began = environment.uptimeNanoseconds
        harness.send("set x 0 0 7\r\nread pw\r\nget k\r\n")
        #expect(harness.answer().isEmpty)
        while !harness.session.isSettled {
            await Task.yield()
            harness.collect()
        }
        #expect(harness.answer() == "STORED\r\nEND\r\n")
        #expect(environment.uptimeNanoseconds - began >= 100_000_000)
        #expect(desk.failureCount == 3)
        // Whichever protocol it comes in: what follows the login is answered behind it.
        let binary = Self.harness(configuration, from: ClientAddress(host: "10.0.0.7"))
        binary.send(BinaryPacket.ask(0x21, "PLAIN", value: "\0read\0pw").bytes + BinaryPacket.ask(0x0A).bytes)
        #expect(binary.answerBytes().isEmpty)
        while !binary.session.isSettled {
            await Task.yield()
            binary.collect()
        }
        #expect(
            BinaryPacket.answers(binary.answerBytes()) == [
                .answer(0x21, value: "Authenticated"), .answer(0x0A),
            ])
        // Another address does not wait for it.
        let other = Self.harness(configuration, from: ClientAddress(host: "10.0.0.8"))
        other.send("set x 0 0 7\r\nread no\r\n")
        #expect(other.answer() == "CLIENT_ERROR authentication failure\r\n")
    }
}
