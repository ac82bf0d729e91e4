// Clients that have to say who they are: nothing is done for them before, whatever they send.

import Engine
import Gather
import Server
import Synchronization
import Testing

@Suite struct AuthenticationTests {
    private final class Lines: Sendable {
        private let text: Mutex<String>
        init(_ text: String) { self.text = Mutex(text) }
        func become(_ new: String) { text.withLock { $0 = new } }
        var bytes: [UInt8] { text.withLock { Array($0.utf8) } }
    }

    private static func credentials(_ lines: Lines) throws -> Credentials {
        try Credentials(name: "users") { () throws(Failure) in lines.bytes }
    }

    private static func harness(_ text: String = "foo:bar\nbaaaz:quux:x") throws -> SessionHarness<Router> {
        var configuration = SessionConfiguration()
        configuration.credentials = try credentials(Lines(text))
        configuration.allowsShutdown = true
        return SessionTests.harness(configuration)
    }

    private static let refused = "CLIENT_ERROR unauthenticated\r\n"
    private static let failed = "CLIENT_ERROR authentication failure\r\n"

    @Test("before the right name and password nothing is answered but that", arguments: [1, 7, 10_000])
    func sequence(pieceBytes: Int) throws {
        let harness = try Self.harness()
        let exchanges: [(String, String)] = [
            ("get a\r\n", Self.refused), ("mg a v\r\n", Self.refused), ("\r\n", Self.refused),
            ("version\r\n", Self.refused), ("shutdown\r\n", Self.refused), ("stats\r\n", Self.refused),
            ("set a 0 0\r\n", Self.refused), ("set a 0 0 x\r\n", Self.refused), ("peer 1 n2\r\n", Self.refused),
            ("set a 0 0 2\r\nhi\r\n", "CLIENT_ERROR bad authentication token format\r\n"),
            ("set a 0 0 7\r\nfoo bar12", "CLIENT_ERROR bad command line termination\r\n"),
            ("set a 0 0 7\r\nfoo bab\r\n", Self.failed), ("set a 0 0 6\r\nfoo ba\r\n", Self.failed),
            ("set a 0 0 8\r\nfoo barr\r\n", Self.failed),
            (
                "set a 0 0 7\r\nfoo:bar\r\n",
                Self.failed.replacing(
                    "authentication failure", with: "bad authentication token format")
            ),
            ("set a 0 0 5000\r\n" + String(repeating: "x", count: 5000) + "\r\n", Self.failed),
            ("set a 0 0 7\r\nfoo bar\r\n", "STORED\r\n"),
            ("get a\r\nset a 0 0 7\r\nfoo bab\r\nget a\r\n", "END\r\nSTORED\r\nVALUE a 0 7\r\nfoo bab\r\nEND\r\n"),
        ]
        for (sent, expected) in exchanges {
            harness.send(sent, pieceBytes: pieceBytes)
            let answer = harness.answer()
            #expect(answer == expected, "\(sent.prefix(60).debugDescription)")
        }
        harness.send("stats\r\n")
        let statistics = harness.answer()
        #expect(statistics.contains("STAT auth_cmds 4\r\nSTAT auth_errors 3\r\n"))
    }

    @Test("a get and the password in one piece: the get is refused all the same")
    func pipelined() throws {
        let harness = try Self.harness()
        harness.send("get a\r\nset x 0 0 12\r\nbaaaz quux:x\r\nget a\r\nget b\r\n")
        #expect(harness.answer() == Self.refused + "STORED\r\nEND\r\nEND\r\n")
    }

    @Test("no line before the password closes the connection")
    func strangers() throws {
        let harness = try Self.harness()
        harness.send(String(repeating: "x", count: 3000))
        #expect(harness.session.verdict == .closing)
    }

    @Test("a file that can't be used is refused in one line, and read again it changes nothing")
    func files() throws {
        for text in ["", "\n\n", "foo\n", ":bar\n", "foo:\n", "foo:b ar\n", "foo:bar\nbaz\n"] {
            #expect(throws: Failure.self) { try Self.credentials(Lines(text)) }
        }
        let lines = Lines("foo:bar\r\n\r\n")
        var configuration = SessionConfiguration()
        let credentials = try Self.credentials(lines)
        configuration.credentials = credentials
        func answer(_ password: String) -> String {
            let harness = SessionTests.harness(configuration)
            harness.send("set a 0 0 7\r\nfoo \(password)\r\n")
            return harness.answer()
        }
        #expect(answer("bar") == "STORED\r\n")
        lines.become("nothing")
        #expect(throws: Failure.self) { try credentials.reload() }
        #expect(answer("bar") == "STORED\r\n")
        lines.become("foo:new")
        try credentials.reload()
        #expect(answer("bar") == Self.failed)
        #expect(answer("new") == "STORED\r\n")
    }
}
