// A partial's bytes between nodes: versioned, every length and key checked on arrival.

// Unsafe: looks at keys where they lie, within their bounds.

extension Partial {
    private static let magic: [UInt8] = Array("CPT".utf8)
    private static let version: UInt8 = 3

    /// magic, version, shape (counted MessagePack), then groups (count, keys, states by aggregate) or rows (whether some were
    /// left out, count, scalars).
    package func encoded() -> [UInt8] {
        // Nothing of it can fail: no pace ends it, and no lease is refused.
        let pace = WorkPace()
        return (try? encoded(first: nil, pace, pace.share.emptyLease(for: "a node's answer"))) ?? []
    }

    /// The same behind another byte, at a pace; what it takes is on `lease`, up to a group's state before it is.
    func encoded(first: UInt8?, _ pace: WorkPace, _ lease: MemoryLease) throws(Failure) -> [UInt8] {
        var out = WireWriter()
        var leased = 0
        /// Once more has been written.
        func note(_ byteCount: Int) throws(Failure) {
            let more = byteCount - leased
            guard more > 4_096 else { return }
            try pace.spend(more / 8)
            // Twice for the room that doubles, once for what is taken out of it.
            try lease.take(Self.growthMax * more)
            leased += more
        }
        if let first { out.append(first) }
        for byte in Self.magic + [Self.version] { out.append(byte) }
        out.append(counted: shape.value.messagePack)
        switch shape {
        case .groups:
            out.append(UInt32(groupCount))
            try lease.take(Self.growthMax * (keys.keyBytes + 4 * groupCount))
            keys.forEach { key in
                out.append(counted: key)
                _ = pace.goesOn(4 + key.count / 8)
            }
            try pace.check()
            leased = out.byteCount
            for state in states {
                for group in 0..<groupCount {
                    state.encode(group, to: &out)
                    try pace.spend(2)
                    try note(out.byteCount)
                }
            }
        case .rows:
            out.append(UInt8(isTruncated ? 1 : 0))
            out.append(UInt32(rows.count))
            for row in rows {
                for scalar in row { out.append(scalar) }
                try pace.spend(row.count)
                try note(out.byteCount)
            }
        }
        return out.bytes
    }

    /// Reads what another node sent. Anything unexpected is a failure that says so; nothing is trusted. Throws `overloaded` or
    /// `budget_exceeded` when there is no memory for it.
    package init(
        decoding bytes: some Collection<UInt8>, groupsMax: Int = groupsMaxDefault, _ pace: WorkPace = WorkPace()
    ) throws(Failure) {
        var reader = WireReader(ArraySlice(bytes))
        do throws(WireDamage) {
            guard try Array(reader.take(Self.magic.count)) == Self.magic else { throw WireDamage() }
            let version = try reader.number(UInt8.self)
            guard version == Self.version else { throw WireDamage() }
            guard let value = Value(messagePack: try reader.counted()), let shape = PartialShape(value: value) else {
                throw WireDamage()
            }
            self.init(shape: shape, groupsMax: groupsMax)
        } catch { throw Self.damaged }
        let lease = pace.share.emptyLease(for: "a node's answer")
        switch shape {
        case .groups(let columns, _): try decodeGroups(&reader, columns, lease, pace)
        case .rows(let columns, let limit): try decodeRows(&reader, columns, limit, lease, pace)
        }
        guard reader.atEnd else { throw Self.damaged }
        try lease.settle(at: memoryBytes)
        self.lease = lease
    }

    private static var damaged: Failure {
        Failure(.incompleteData, "a partial answer arrived damaged, or from another version")
    }

    /// What arrays that grow by doubling take of what is read into them, at most.
    private static let growthMax = 3

    private mutating func decodeGroups(
        _ reader: inout WireReader, _ columns: [FrameColumn], _ lease: MemoryLease, _ pace: WorkPace
    ) throws(Failure) {
        do {
            let count = try reader.count(bytesEach: 4)
            try lease.take(min(count, groupsMax) * 24)
            reserve(min(count, groupsMax))
            var index = 0
            try reader.forEachCounted(count) { key in
                try pace.spend(8 + key.count / 8)
                try lease.take(key.count * Self.growthMax)
                // A key that is there already would make two groups one.
                guard Self.isKey(key, of: columns), try group(key) == index else { throw WireDamage() }
                index += 1
            }
            guard groupCount == count else { throw WireDamage() }
            guard case .groups(_, let aggregates) = shape else { throw WireDamage() }
            for (position, aggregate) in aggregates.enumerated() {
                var state = aggregate.makeStates()
                let emptyBytes = aggregate.emptyStateBytes
                for _ in 0..<count {
                    let before = reader.remaining
                    try lease.take(emptyBytes)
                    try state.decodeNext(&reader)
                    // One group's state is there before what was read for it is leased.
                    let read = before - reader.remaining
                    try lease.take(read * Self.growthMax)
                    try pace.spend(4 + read / 8)
                }
                states[position] = state
            }
        } catch let failure as Failure { throw failure } catch { throw Self.damaged }
    }

    /// Whether the bytes are a scalar for each column, and nothing else.
    private static func isKey(_ key: UnsafeBufferPointer<UInt8>, of columns: [FrameColumn]) -> Bool {
        var rest = UnsafeRawBufferPointer(key)
        for column in columns {
            guard let tag = rest.first else { return false }
            var size = 1
            if tag != 0 {
                guard tag == column.type.rawValue else { return false }
                switch column.type {
                case .int, .double, .time: size += 8
                case .bool:
                    guard rest.count > 1, rest[1] <= 1 else { return false }
                    size += 1
                case .string:
                    guard rest.count >= 5 else { return false }
                    size += 4 + Int(UInt32(littleEndian: rest.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
                }
            }
            guard rest.count >= size else { return false }
            rest = UnsafeRawBufferPointer(rebasing: rest[size...])
        }
        return rest.isEmpty
    }

    private mutating func decodeRows(
        _ reader: inout WireReader, _ columns: [FrameColumn], _ limit: Int, _ lease: MemoryLease, _ pace: WorkPace
    ) throws(Failure) {
        do {
            let flag = try reader.number(UInt8.self)
            let count = try reader.count(bytesEach: columns.count)
            guard count <= limit, flag <= 1 else { throw WireDamage() }
            isTruncated = flag == 1
            for _ in 0..<count {
                var row: [Scalar] = []
                for column in columns { row.append(try reader.scalar(column.type)) }
                try lease.take(16 + Self.memoryBytes(of: row))
                try pace.spend(row.count * 4)
                rows.append(row)
            }
        } catch let failure as Failure { throw failure } catch { throw Self.damaged }
    }
}
