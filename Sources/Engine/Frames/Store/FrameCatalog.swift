// The frames of a node by name, and the loads under way into them.

import Synchronization

package final class FrameCatalog: Sendable {
    package static let nameBytesMax = 64
    package static let framesMax = 10_000

    private struct State: Sendable {
        var frames: [String: Frame] = [:]
        var loads: [UInt64: FrameLoad] = [:]
    }

    package let resources: FrameResources
    private let shardCount: Int
    private let state = Mutex(State())

    package init(shardCount: Int, resources: FrameResources = FrameResources()) {
        precondition(shardCount > 0)
        self.shardCount = shardCount
        self.resources = resources
    }

    /// The frame of this name, made if there is none. One with the same schema is fine, with another a `wrongType`.
    package func create(_ name: String, schema: FrameSchema) throws(Failure) -> Frame {
        try Self.checkName(name)
        let result = state.withLock { state -> Result<Frame, Failure> in
            if let frame = state.frames[name] {
                return frame.schema == schema ? .success(frame) : .failure(Self.otherSchema(frame, schema))
            }
            guard state.frames.count < Self.framesMax else {
                return .failure(
                    Failure(
                        .budgetExceeded, "there are \(Self.framesMax) frames already; drop some", fault: .server))
            }
            do throws(Failure) {
                let frame = try Frame(name: name, schema: schema, shardCount: shardCount, resources: resources)
                state.frames[name] = frame
                return .success(frame)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    package func find(_ name: String) -> Frame? { state.withLock { $0.frames[name] } }

    /// The frame of this name; a `miss` that lists what exists otherwise.
    package func require(_ name: String) throws(Failure) -> Frame {
        let (frame, names) = state.withLock { ($0.frames[name], $0.frames.keys.sorted()) }
        if let frame { return frame }
        let known = names.isEmpty ? "none is loaded" : "there are \(names.prefix(20).joined(separator: ", "))"
        throw Failure(.miss, "there is no frame '\(name)'; \(known)")
    }

    /// Removes the frame. Its memory is free once running queries are done with it. False when there is none.
    package func drop(_ name: String) -> Bool {
        let frame = state.withLock { state -> Frame? in
            for (id, load) in state.loads where load.frame.name == name { state.loads[id] = nil }
            return state.frames.removeValue(forKey: name)
        }
        frame?.markDropped()
        return frame != nil
    }

    /// All frames by name.
    package var frames: [Frame] { state.withLock { $0.frames.values.sorted { $0.name < $1.name } } }

    /// Columns compressed at a time: a few milliseconds.
    package static let coldColumnsMax = 8

    /// Compresses columns of chunks that nobody has read for a while; to be called once a second. Answers how many it tried.
    @discardableResult
    package func compressCold() -> Int {
        var left = Self.coldColumnsMax
        for frame in frames {
            for part in frame.parts where left > 0 { left -= part.compressCold(limit: left) }
        }
        return Self.coldColumnsMax - left
    }

    /// Letters, digits, `_`, `-`, `.`; 1 to 64 of them.
    package static func checkName(_ name: String) throws(Failure) {
        let isName = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard isName, (1...nameBytesMax).contains(name.utf8.count) else {
            throw Failure(
                .scriptError,
                "'\(name.prefix(80))' is no frame name: 1 to \(nameBytesMax) letters, digits, '_', '-' or '.'")
        }
    }

    private static func otherSchema(_ frame: Frame, _ schema: FrameSchema) -> Failure {
        Failure(.wrongType, "frame '\(frame.name)' exists with columns \(frame.schema); these rows have \(schema)")
    }
}

// MARK: - Loads

extension FrameCatalog {
    package static let loadsMax = 1_000

    /// Begins a load under a number of the caller's choice.
    package func beginLoad(_ number: UInt64, into frame: Frame) throws(Failure) -> FrameLoad {
        try frame.requireLiving()
        let load = FrameLoad(frame: frame, number: number)
        let failure = state.withLock { state -> Failure? in
            guard state.loads[number] == nil else {
                return Failure(.overloaded, "load \(Self.name(number)) is under way already")
            }
            guard state.loads.count < Self.loadsMax else {
                return Failure(.overloaded, "\(Self.loadsMax) loads are under way; wait for one to end")
            }
            state.loads[number] = load
            return nil
        }
        if let failure { throw failure }
        return load
    }

    package func load(_ number: UInt64) throws(Failure) -> FrameLoad {
        guard let load = state.withLock({ $0.loads[number] }) else {
            throw Failure(
                .miss, "there is no load \(Self.name(number)): it was committed, aborted, or its frame dropped")
        }
        return load
    }

    /// Commits and forgets the load; answers the rows that became visible. When it throws the load is still there.
    package func commitLoad(_ number: UInt64) throws(Failure) -> Int {
        let rows = try load(number).commit()
        state.withLock { $0.loads[number] = nil }
        return rows
    }

    /// Discards the load, if it is under way.
    package func abortLoad(_ number: UInt64) {
        state.withLock { $0.loads.removeValue(forKey: number) }?.abort()
    }

    private static func name(_ number: UInt64) -> String { String(number, radix: 16) }
}
