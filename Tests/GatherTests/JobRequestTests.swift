// How a job is asked for: its parameters, and the words that are the request's own.

import Coordination
import Engine
import Gather
import Testing

@Suite struct JobRequestTests {
    @Test("parameters take their defaults' types; unknown and unfitting ones are refused by name")
    func parameters() throws {
        let defaults = [
            Value.Pair(.string("flag"), .bool(false)), Value.Pair(.string("limit"), .int(5)),
            Value.Pair(.string("name"), .string("x")),
        ]
        let resolved = try JobParameters.resolve(
            given: ["limit": .string("7"), "flag": .string("true")], defaults: defaults, job: "j")
        #expect(resolved == .object(["flag": .bool(true), "limit": .int(7), "name": .string("x")]))
        #expect(
            try JobParameters.resolve(given: ["limit": .string("1.5")], defaults: defaults, job: "j")["limit"]
                == .double(1.5))
        for (given, expected) in [
            (["limi": Value.string("7")], "job j has no parameter 'limi'; it has flag, limit, name"),
            (["limit": .string("x")], "parameter 'limit' of job j is a number: 'x' is none"),
            (["flag": .string("1")], "parameter 'flag' of job j is true or false: '1' is neither"),
        ] {
            let failure = #expect(throws: Failure.self) {
                try JobParameters.resolve(given: given, defaults: defaults, job: "j")
            }
            #expect(failure?.message == expected)
        }
    }

    @Test("a job request takes require and timeout for itself")
    func assignments() throws {
        var request = JobRequest(name: "j", source: [])
        try request.take(assignments: ["a=1=2", "require=80%", "timeout=250"])
        #expect(request.parameters == ["a": .string("1=2")])
        #expect(request.requirement == .percent(80))
        #expect(request.timeoutMilliseconds == 250)
        for broken in ["a", "=1", "require=0", "timeout=x", "timeout=0"] {
            #expect(throws: Failure.self) { try request.take(assignments: [broken]) }
        }
        for name in ["timeout", "require", "a"] {
            let failure = #expect(throws: Failure.self) {
                try request.take(assignments: ["\(name)=5", "b=1", "\(name)=10"])
            }
            #expect(failure?.message.contains("'\(name)' is given twice") == true)
        }
        request = JobRequest(name: "j", source: [])
        try request.take(assignments: ["a=1=2", "require=80%", "timeout=250"])
        let back = try #require(JobRequest(value: request.value))
        #expect(back.parameters == request.parameters && back.requirement == request.requirement)
    }
}
