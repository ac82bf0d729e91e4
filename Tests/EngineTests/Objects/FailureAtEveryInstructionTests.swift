// Each method that writes without a journal, stopped at every instruction: as whole as with a journal.

import Engine
import Foundation
import Testing

@Suite struct FailureAtEveryInstructionTests {
    /// A call of a method, and what its object holds before.
    struct Case: Sendable {
        let type: String
        let method: String
        var arguments: [String] = []
        let state: Value
    }

    private static func pairs(_ pairs: KeyValuePairs<String, Value>) -> Value {
        .map(pairs.map { Value.Pair(.string($0.key), $0.value) })
    }

    private static let counter = pairs(["value": .int(5)])
    private static let map = pairs(["entries": pairs(["a": .string("1"), "b": .string("2")]), "size": .int(2)])
    private static let set = pairs(["members": pairs(["a": .bool(true), "b": .bool(true)]), "size": .int(2)])
    private static let window = pairs(["size": .int(3), "at": .int(3), "values": .array([.int(7), .int(8), .int(9)])])
    private static let emptyWindow = pairs(["size": .int(3), "at": .int(0), "values": .array([])])
    private static func quota(window: Int64, used: Int64) -> Value {
        pairs(["limit": .int(5), "period": .string("hour"), "window": .int(window), "used": .int(used)])
    }
    private static let hour: Int64 = 1000

    static let cases = [
        Case(type: "counter", method: "add", state: counter),
        Case(type: "counter", method: "add", arguments: ["1.5"], state: counter),
        Case(type: "counter", method: "add", arguments: ["x"], state: counter),
        Case(type: "counter", method: "sub", arguments: ["9"], state: counter),
        Case(type: "counter", method: "reset", state: counter),
        Case(type: "map", method: "put", arguments: ["c", "3"], state: map),
        Case(type: "map", method: "put", arguments: ["a", "3"], state: map),
        Case(type: "map", method: "delete", arguments: ["a"], state: map),
        Case(type: "map", method: "delete", arguments: ["c"], state: map),
        Case(type: "set", method: "put", arguments: ["c"], state: set),
        Case(type: "set", method: "put", arguments: ["a"], state: set),
        Case(type: "set", method: "delete", arguments: ["a"], state: set),
        Case(type: "set", method: "delete", arguments: ["c"], state: set),
        Case(type: "quota", method: "addandcheck", arguments: ["2"], state: quota(window: hour, used: 1)),
        Case(type: "quota", method: "addandcheck", arguments: ["5"], state: quota(window: hour, used: 1)),
        Case(type: "quota", method: "addandcheck", arguments: ["2"], state: quota(window: hour - 1, used: 4)),
        Case(type: "quota", method: "addandcheck", arguments: ["0"], state: quota(window: hour, used: 1)),
        Case(type: "quota", method: "reset", state: quota(window: hour - 1, used: 4)),
        Case(type: "swcounter", method: "add", arguments: ["4"], state: window),
        Case(type: "swcounter", method: "add", arguments: ["4"], state: emptyWindow),
    ]

    @Test("each method without a journal is among them")
    func allOfThem() {
        let tried = Dictionary(grouping: Self.cases, by: \.type).mapValues { Set($0.map(\.method)) }
        #expect(tried == ObjectTypes.directMethods)
    }

    @Test("the answer and the object are those of the whole call, or the object is as it was")
    func everyInstruction() throws {
        let types = try Self.withTwins()
        let whole = try Self.outcomes(types, instructionsMax: 10_000_000, isTwin: true)
        // How many budgets each call failed with: directly, and with a journal.
        var failures = [false: [Int](repeating: 0, count: whole.count), true: [Int](repeating: 0, count: whole.count)]
        var successes = 0
        for instructionsMax in 0..<1_000 {
            var isAnyStopped = false
            for isTwin in [false, true] {
                let outcomes = try Self.outcomes(types, instructionsMax: instructionsMax, isTwin: isTwin)
                for (at, outcome) in outcomes.enumerated() {
                    let call = Self.cases[at]
                    let isStopped = outcome.answer == "<budget_exceeded>"
                    let wanted = isStopped ? Outcome(answer: outcome.answer, state: Self.sorted(call.state)) : whole[at]
                    #expect(
                        outcome == wanted,
                        "\(call.type):\(call.method):\(call.arguments), journal: \(isTwin), \(instructionsMax) instructions"
                    )
                    if isStopped { failures[isTwin]?[at] += 1 }
                    isAnyStopped = isAnyStopped || isStopped
                }
            }
            // More than the whole call takes makes no difference; some more make sure of it.
            successes = isAnyStopped ? 0 : successes + 1
            if successes > 8 { break }
        }
        #expect(successes > 8)
        // What has a journal is stopped wherever its budget ends.
        for (at, count) in (failures[true] ?? []).enumerated() {
            #expect(count > 2, "\(Self.cases[at].type):\(Self.cases[at].method)")
        }
    }

    private struct Outcome: Equatable {
        /// The answer as text, or a failure's reason in angle brackets.
        let answer: String
        let state: Value
    }

    /// The built-in types, and each once more under another name: what is no built-in type has a journal.
    private static func withTwins() throws -> ObjectTypes {
        let folder = "\(#filePath.components(separatedBy: "/Tests/")[0])/Sources/Engine/Objects/Types"
        return try ObjectTypes(
            adding: ObjectTypes.directMethods.keys.sorted().map { type in
                let source = try String(contentsOfFile: "\(folder)/\(type).lua", encoding: .utf8)
                return script(
                    source.replacing("object \"\(type)\"", with: "object \"\(twin(type))\""), file: "\(twin(type)).lua")
            })
    }

    private static func twin(_ type: String) -> String { type + "twin" }

    /// What becomes of each case's call, each on an object of its own.
    private static func outcomes(_ types: ObjectTypes, instructionsMax: Int, isTwin: Bool) throws -> [Outcome] {
        var configuration = EngineConfiguration(
            shards: 1, computeThreads: 1, memoryBytes: 8 << 20, objectTypes: types)
        configuration.environment = ClockedEnvironment { UInt64(hour * 3_600_000) }
        configuration.methodInstructionsMax = instructionsMax
        let engine = Engine(configuration)
        let answers = try cases.enumerated().map { at, call in
            let type = isTwin ? twin(call.type) : call.type
            // The object lies on the shelf, from where the call fetches it.
            let shelfKey = Array("\0obj\0\(type)\0o\(at)".utf8)
            #expect(
                engine.shards[0].items.put(
                    shelfKey, [UInt8](repeating: 0, count: 8) + call.state.messagePack, expiry: .never))
            return try answer(
                to: ([type, call.method, "o\(at)"] + call.arguments).joined(separator: ":"), of: engine)
        }
        var states: [String: Value] = [:]
        for type in ObjectTypes.directMethods.keys {
            states.merge(try self.states(of: isTwin ? twin(type) : type, in: engine)) { $1 }
        }
        return answers.enumerated().map { Outcome(answer: $1, state: states["o\($0)"] ?? .null) }
    }

    private static func answer(to text: String, of engine: Engine) throws -> String {
        let key = Array(text.utf8)
        return try key.withUnsafeBytes { key -> String in
            let method = try #require(engine.locate(key, hashOfOwn: { $1 }))
            var text = ""
            switch engine.objects.callAtOnce(
                method, key: key, data: nil, answer: { text = String(decoding: $0, as: UTF8.self) })
            {
            case .answered: return text
            case .failed(let failure): return "<\(failure.reason.rawValue)>"
            case .declined, .missed, .paused: return "<not at once>"
            }
        }
    }

    /// What the objects of a type hold, by their names, as a job sees them.
    private static func states(of type: String, in engine: Engine) throws -> [String: Value] {
        let source = "function map(shard) local all = shard:objects('\(type)') return all end"
        let job = try JobScript(
            Array(source.utf8), name: "state", now: 0, deadline: .after(milliseconds: 600_000))
        let partial = try job.map(
            over: engine.shards[0], frames: engine.frames, parameters: .map([]), coverage: ScanCoverage())
        guard case .value(let leased)? = partial, case .array(let objects) = leased.value else { return [:] }
        var states: [String: Value] = [:]
        for object in objects { states[object["name"]?.text ?? ""] = object["state"].map(sorted) }
        return states
    }

    /// The same value, the keys of its maps in order.
    private static func sorted(_ value: Value) -> Value {
        guard case .map(let pairs) = value else { return value }
        return .map(
            pairs.map { Value.Pair($0.key, sorted($0.value)) }.sorted { ($0.key.text ?? "") < ($1.key.text ?? "") })
    }
}
