// Group keys as partials hold them, one after the other in one array: read, ranked and compared where they lie.

// Unsafe: reads scalars of keys that were written here, or checked when they arrived.

extension Partial {
    /// The key of a group, a scalar for each of its columns.
    func scalars(ofKey group: Int, _ columns: [FrameColumn]) -> [Scalar] {
        if let coded = keys.coded { return columns.indices.map { coded.scalar(group, $0) } }
        return keys.withKey(group) { bytes in
            var cursor = KeyCursor(bytes)
            return columns.map { cursor.next($0.type) }
        }
    }

    /// By the first column of its key, nulls last: of unequal ranks the lesser one comes first, equal ranks say nothing.
    func keyRank(_ group: Int, _ type: ColumnType) -> UInt64 {
        if let coded = keys.coded { return coded.rank(group) }
        return keys.withKey(group) { bytes in
            if bytes[0] == 0 { return .max }
            let start = UnsafeRawPointer(bytes.baseAddress! + 1)
            switch type {
            case .int, .time: return UInt64(bitPattern: start.loadUnaligned(as: Int64.self)) ^ 1 << 63
            case .double: return UInt64(bitPattern: start.loadUnaligned(as: Double.self).orderedKey) ^ 1 << 63
            case .bool: return UInt64(bytes[1])
            case .string:
                let count = Int(UInt32(littleEndian: start.loadUnaligned(as: UInt32.self)))
                return UInt64(rankOf: UnsafeBufferPointer(rebasing: bytes[5..<5 + count]))
            }
        }
    }

    /// Ascending by one column after the other, nulls last. A key does not precede itself.
    func keyPrecedes(_ a: Int, _ b: Int, _ columns: [FrameColumn]) -> Bool {
        if let coded = keys.coded { return coded.precedes(a, b) }
        return keys.withKey(a) { mine in
            keys.withKey(b) { theirs in
                var (x, y) = (KeyCursor(mine), KeyCursor(theirs))
                for column in columns {
                    let order = Scalar.compare(x.next(column.type), y.next(column.type))
                    if order != 0 { return order < 0 }
                }
                return false
            }
        }
    }
}

/// Goes through the scalars of one key.
private struct KeyCursor {
    private var at: UnsafeRawPointer

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        at = UnsafeRawPointer(bytes.baseAddress ?? UnsafePointer(bitPattern: 1)!)  // of no columns nothing is read
    }

    private mutating func take<T: BitwiseCopyable>(_: T.Type = T.self) -> T {
        defer { at += MemoryLayout<T>.size }
        return at.loadUnaligned(as: T.self)
    }

    mutating func next(_ type: ColumnType) -> Scalar {
        if take(UInt8.self) == 0 { return .null }
        switch type {
        case .int: return .int(Int64(littleEndian: take()))
        case .time: return .time(Int64(littleEndian: take()))
        case .double: return .double(Double(bitPattern: UInt64(littleEndian: take())))
        case .bool: return .bool(take(UInt8.self) != 0)
        case .string:
            let count = Int(UInt32(littleEndian: take()))
            defer { at += count }
            return .string(Array(UnsafeRawBufferPointer(start: at, count: count)))
        }
    }
}

extension UInt64 {
    /// Of a text: what comes first has the lesser rank, or the same one.
    init(rankOf text: UnsafeBufferPointer<UInt8>) {
        if text.count >= 8 {
            self = UnsafeRawPointer(text.baseAddress!).loadUnaligned(as: UInt64.self).bigEndian
            return
        }
        self = 0
        for index in 0..<8 { self = self << 8 | (index < text.count ? UInt64(text[index]) : 0) }
    }
}
