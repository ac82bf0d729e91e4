// What a failure names: data that every rewording keeps, also between nodes; nobody searches the text for it.

import Coordination
import Engine
import Foundation
import Gather
import NIOCore
import NIOPosix
import Testing

@Suite struct FailureSubjectTests {
    private static func received(_ failure: Failure) -> Failure? {
        var buffer = ByteBuffer()
        buffer.writeWire(failure: failure)
        defer { #expect(buffer.readableBytes == 0) }
        return buffer.readWireFailure()
    }

    @Test("a failure is named once, whatever its message says")
    func naming() {
        let failure = Failure(.timeout, "no answer from n1")
        #expect(failure.naming("n1").message == "n1: no answer from n1")
        #expect(failure.naming("n1").naming("n1") == failure.naming("n1"))
        #expect(failure.naming("n1").naming("n2").message == "n2: n1: no answer from n1")
        #expect(failure.naming("n1").naming("n2").naming("n1").message == "n2: n1: no answer from n1")
        let known = Failure(.timeout, "n1 did not answer", about: .named("n1"))
        #expect(known.naming("n1") == known)
        #expect(known.naming("n12").message == "n12: n1 did not answer")
    }

    @Test("whoever says a failure in other words keeps what it names, and whose fault it is")
    func rewording() {
        let subjects: [Failure.Subject] = [.unreached("h:1"), .named("n1")]
        let failure = Failure(.budgetExceeded, "x", fault: .server, about: subjects)
        for reworded in [failure.naming("n2"), failure.saying("y"), failure.saying("y", about: .named("f"))] {
            #expect(Array(reworded.subjects.prefix(2)) == subjects)
            #expect(reworded.fault == .server && reworded.reason == .budgetExceeded)
        }
        #expect(failure.saying("y", about: .named("f")).names("f"))
        #expect(failure.naming("n2").names("n2"))
        #expect(failure.because(of: .timeout) == Failure(.timeout, "x", about: subjects))
    }

    @Test("what it names goes with it to other nodes, whosever fault it is")
    func wire() {
        for fault in [Fault.caller, .server] {
            for names in [[], ["n1"], ["a/b:1", "/a"], [""]] {
                let failure = Failure(.budgetExceeded, "x", fault: fault, about: names.map { .named($0) })
                #expect(Self.received(failure) == failure)
            }
        }
        // That a server was not reached concerns whoever tried it.
        #expect(
            Self.received(Failure(.unreachable, "x", about: .unreached("n1")))
                == Failure(.unreachable, "x", about: .named("n1")))
    }

    @Test("what names more than may be is not believed, and is not sent")
    func wireBounds() throws {
        let most = ByteBuffer.subjectsMax
        let long = String(repeating: "n", count: ByteBuffer.subjectBytesMax + 1)
        let many = Failure(.timeout, "x", about: (0...most).map { .named("n\($0)") } + [.named(long)])
        #expect(try #require(Self.received(many)).subjects == Array(many.subjects.prefix(most)))
        let rest = Self.received(Failure(.timeout, "x", about: .named(long), .named("n1")))
        #expect(rest == Failure(.timeout, "x", about: .named("n1")))
        let deep = Failure(.scriptError, "x", about: [], stack: [String](repeating: "f:1: in f", count: 100) + [long])
        #expect(try #require(Self.received(deep)).stack == [String](deep.stack.prefix(ByteBuffer.stackLinesMax)))

        func bytes(count: UInt8, _ names: [String]) -> ByteBuffer {
            var buffer = ByteBuffer()
            buffer.writeWire(bytes: Array("timeout".utf8))
            buffer.writeWire(bytes: Array("x".utf8))
            buffer.writeWire(count)
            for name in names { buffer.writeWire(bytes: Array(name.utf8)) }
            buffer.writeWire(UInt8(0))  // no stack
            return buffer
        }
        var right = bytes(count: 1, ["n1"])
        #expect(right.readWireFailure() == Failure(.timeout, "x", about: .named("n1")))
        var wrong = [
            bytes(count: 2, ["n1"]), bytes(count: 1, [long]),
            bytes(count: UInt8(most + 1), [String](repeating: "n", count: most + 1)),
        ]
        for length in 1..<bytes(count: 1, ["n1"]).readableBytes {
            wrong.append(try #require(bytes(count: 1, ["n1"]).getSlice(at: 0, length: length)))
        }
        for index in wrong.indices { #expect(wrong[index].readWireFailure() == nil, "\(index)") }
    }

    @Test("a link's failures name the node, and where it is; one that was not reached says so")
    func links() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let gone = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(gone.localAddress?.port)
        try await gone.close()
        for (name, expected) in [("n2", ["n2", "127.0.0.1:\(port)"]), ("", ["127.0.0.1:\(port)"])] {
            let link = PeerLink(
                loop: group.next(), name: name, host: "127.0.0.1", port: port,
                caller: .client(login: [], password: []))
            let failure = try #require(await Self.failure(link, .after(milliseconds: 600_000)))
            #expect(failure.subjects == expected.map { .unreached($0) })
            #expect(failure.naming(expected[0]) == failure)
            let late = try #require(await Self.failure(link, Deadline(uptimeNanoseconds: 1)))
            #expect(late.reason == .timeout || late.reason == .unreachable)
            #expect(late.subjects.map(\.name) == expected)
            link.close()
            let closed = try #require(await Self.failure(link, .after(milliseconds: 600_000)))
            #expect(closed.reason == .cancelled && closed.subjects == expected.map { .named($0) })
        }
        try await group.shutdownGracefully()
    }

    private static func failure(_ link: PeerLink, _ deadline: Deadline) async -> Failure? {
        do throws(Failure) {
            _ = try await link.send(.item(.get, key: [0]), deadline: deadline)
            return nil
        } catch { return error }
    }

    @Test("who refuses a connection names as data exactly the nodes that it names in words, and they arrive")
    func refusals() {
        func identity(_ name: String, epoch: UInt64 = 7, others: Set<String> = ["n1", "n2", "n3"]) -> PeerIdentity {
            PeerIdentity(
                name: name, incarnation: 1, epoch: epoch, others: others.subtracting([name]), trustsAnyAddress: false)
        }
        func refusal(_ caller: PeerIdentity, _ called: PeerIdentity, isLoopback: Bool = true) -> Refusal? {
            let calling = CallerGreeting(identity: caller, target: "n2", nonce: [1])
            let line = calling.hello.line.filter { !$0.isNewline }
            var answering = CalledGreeting(identity: called, line: line, isLoopback: isLoopback, nonce: [2])
            if case .refused(let refusal) = answering.receive(calling.greet, now: Instant(nanoseconds: 5)) {
                return refusal
            }
            return nil
        }
        let refusals = [
            refusal(identity("n1"), identity("n2", epoch: 8)), refusal(identity("n4"), identity("n2")),
            refusal(identity("n1"), identity("n2", others: [])), refusal(identity("n1"), identity("n3")),
            refusal(identity("n1"), identity("n2"), isLoopback: false),
        ]
        for refusal in refusals {
            guard let refusal else {
                Issue.record("it was taken")
                continue
            }
            let names = ["n1", "n2", "n3", "n4"].filter { refusal.message.contains($0) }
            #expect(refusal.names.sorted() == names, "\(refusal.message)")
            #expect(Self.received(refusal.failure)?.subjects == refusal.names.map { .named($0) })
        }
    }

    /// Where a message's text is looked into: what a line must not hold.
    private static let searches = [
        #"[mM]essage\.(contains\((?!where: \\.isNewline)|hasPrefix|hasSuffix|range|ranges|firstRange|starts|split|firstIndex)"#,
        #"Failure\(\s*\w+\.reason\b"#,
    ]

    @Test("no code searches a failure's message, or makes a failure of another's parts, which would lose the rest")
    func sources() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../Sources").standardized
        let all = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        let files = (all?.compactMap { $0 as? URL } ?? []).filter { $0.pathExtension == "swift" }
        #expect(files.count >= 200)
        let searches = try Self.searches.map { try NSRegularExpression(pattern: $0) }
        func isFound(_ text: String) -> Bool {
            let range = NSRange(text.startIndex..., in: text)
            return searches.contains { $0.firstMatch(in: text, range: range) != nil }
        }
        #expect(isFound("message.contains(thing)") && isFound("error.message.hasSuffix(x)"))
        #expect(isFound("Failure(\n    error.reason, text)") && !isFound("Failure(.timeout, text)"))
        for file in files {
            #expect(!isFound(try String(contentsOf: file, encoding: .utf8)), "\(file.lastPathComponent)")
        }
    }
}
