// The hint of how to start a server that is not there: given by what a failure names, however it was reworded.

import Engine
import Gather
import Server
import Testing

@Suite struct ServerHintTests {
    private static let server = HostPort(host: "127.0.0.1", port: 7)
    private static let hint = " (is a node running there? start one with: cacheismo serve -p 7)"
    private static let unreached = Failure(
        .unreachable, "127.0.0.1:7 can't be reached: connection refused", about: .unreached("127.0.0.1:7"))

    @Test("the server that was asked for and not reached gets the hint, once reworded too, and stays what it was about")
    func given() {
        let failure = Self.unreached
        for failure in [failure, failure.naming("x.csv"), failure.saying("y; nothing was loaded")] {
            let hinted = failure.withHint(server: Self.server)
            #expect(hinted.message == failure.message + Self.hint)
            #expect(hinted.subjects == failure.subjects && hinted.reason == .unreachable)
        }
    }

    @Test("no other failure gets it, whatever its words are")
    func notGiven() {
        let text = Self.unreached.message
        for failure in [
            Failure(.unreachable, text), Failure(.unreachable, text, about: .named("127.0.0.1:7")),
            Failure(.unreachable, text, about: .unreached("127.0.0.1:70")),
        ] {
            #expect(failure.withHint(server: Self.server) == failure)
        }
    }
}
