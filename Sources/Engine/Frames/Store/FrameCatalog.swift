// The frames of a node by name, one to a name but where several were made under it, and the loads under way into them.

import Synchronization

package final class FrameCatalog: Sendable {
    package static let nameBytesMax = 64
    package static let framesMax = 10_000

    private struct State: Sendable {
        /// None of them empty.
        var frames: [String: [Frame]] = [:]
        var loads: [UInt64: FrameLoad] = [:]
        /// What whoever asks for one of several frames of a name is told.
        var conflicts: [String: Failure] = [:]

        var count: Int { frames.values.reduce(0) { $0 + $1.count } }

        func conflict(_ name: String) -> Failure? {
            if let conflict = conflicts[name] { return conflict }
            guard let named = frames[name], named.count > 1 else { return nil }
            return Failure(.conflict, "there are \(named.count) frames '\(name)': drop all but one")
        }

        func only(_ name: String) -> Frame? {
            guard let named = frames[name], named.count == 1 else { return nil }
            return named[0]
        }
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
            if let conflict = state.conflict(name) { return .failure(conflict) }
            guard let frame = state.only(name) else { return make(name, id: "", schema, &state) }
            return frame.schema == schema ? .success(frame) : .failure(Self.otherSchema(name, frame.schema, schema))
        }
        return try result.get()
    }

    /// The frame of this name and id, made if there is none, beside others of the name.
    package func create(_ name: String, id: String, schema: FrameSchema) throws(Failure) -> Frame {
        try Self.checkName(name)
        let result = state.withLock { state -> Result<Frame, Failure> in
            if let frame = state.frames[name]?.first(where: { $0.id == id }) { return .success(frame) }
            return make(name, id: id, schema, &state)
        }
        return try result.get()
    }

    private func make(
        _ name: String, id: String, _ schema: FrameSchema, _ state: inout State
    ) -> Result<Frame, Failure> {
        guard state.count < Self.framesMax else {
            return .failure(
                Failure(.budgetExceeded, "there are \(Self.framesMax) frames already; drop some", fault: .server))
        }
        do throws(Failure) {
            let frame = try Frame(name: name, id: id, schema: schema, shardCount: shardCount, resources: resources)
            state.frames[name, default: []].append(frame)
            return .success(frame)
        } catch {
            return .failure(error)
        }
    }

    /// Nil also where there are several of the name.
    package func find(_ name: String) -> Frame? { state.withLock { $0.only(name) } }

    package func find(_ name: String, id: String) -> Frame? {
        state.withLock { $0.frames[name]?.first { $0.id == id } }
    }

    /// The frame of this name; a `miss` that lists what exists otherwise, or a `conflict` where there are several.
    package func require(_ name: String) throws(Failure) -> Frame {
        let (frame, conflict, names) = state.withLock { state in
            (state.only(name), state.conflict(name), state.frames.keys)
        }
        if let conflict { throw conflict }
        if let frame { return frame }
        let known =
            names.isEmpty ? "none is loaded" : "there are \(names.sorted().prefix(20).joined(separator: ", "))"
        throw Failure(.miss, "there is no frame '\(name)'; \(known)")
    }

    /// What is said of names with several frames, whether or not all of them are here; of no others.
    package func setConflicts(_ conflicts: [String: Failure]) { state.withLock { $0.conflicts = conflicts } }

    /// Removes all frames of the name. Their memory is free once running queries are done with them. False when there is none.
    package func drop(_ name: String) -> Bool { drop(name) { _ in true } }

    /// Removes this one.
    package func drop(_ name: String, id: String) -> Bool { drop(name) { $0.id == id } }

    private func drop(_ name: String, where isMeant: (Frame) -> Bool) -> Bool {
        let dropped = state.withLock { state -> [Frame] in
            let named = state.frames[name] ?? []
            let dropped = named.filter(isMeant)
            let left = named.filter { !isMeant($0) }
            state.frames[name] = left.isEmpty ? nil : left
            for (number, load) in state.loads where dropped.contains(where: { $0 === load.frame }) {
                state.loads[number] = nil
            }
            return dropped
        }
        for frame in dropped { frame.markDropped() }
        return !dropped.isEmpty
    }

    /// All frames by name.
    package var frames: [Frame] {
        state.withLock { $0.frames.values.flatMap(\.self).sorted { ($0.name, $0.id) < ($1.name, $1.id) } }
    }

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

    package static func otherSchema(_ name: String, _ known: FrameSchema, _ other: FrameSchema) -> Failure {
        Failure(.wrongType, "frame '\(name)' exists with columns \(known); these rows have \(other)")
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
