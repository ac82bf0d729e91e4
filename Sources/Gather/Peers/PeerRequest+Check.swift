// What a request may hold: its sizes, names and numbers by its kind. Nothing that another process says goes unchecked.

package import Engine

extension PeerRequest {
    package static let notUnderstood = Failure(.scriptVersion, "the request is in a version that is not understood")
    /// Of a message with many commands on items and objects: no `PeerRequest`, as none is made of each of them.
    static let batchKind: UInt8 = 7
    static let headerColumnsMax = 16_384
    static let parameterPartsMax = 65_536
    /// Of the loads that a map is to include.
    static let loadPartsMax = 65_536
    static let nameBytesMax = 255
    /// Lines of a file; instants in milliseconds: sums of them stay within 64 bits.
    private static let numberMax: Int64 = 1 << 53

    /// The largest frame of a kind, or nil when it may be as large as any. `itemBytesMax`: the largest item.
    static func bytesMax(kind: UInt8, itemBytesMax: Int) -> Int? {
        switch kind {
        case 1, 2: itemBytesMax + (4 << 10)
        case 3: 4 << 10
        case 4: nil
        // A row has up to 16 MiB, a block of rows that much and a little.
        case 5: 24 << 20
        case batchKind: max(ForwardBatch.bytesHigh, itemBytesMax) + (4 << 10)
        default: max(64 << 20, itemBytesMax + (4 << 10))
        }
    }

    /// Of the argument's value. All that a cluster knows of its frames is said in one.
    static func partsMax(of verb: ControlVerb) -> Int {
        switch verb {
        case .synchronize: 8 << 20
        default: 256 << 10
        }
    }

    /// Throws what is wrong with a request that was decoded.
    func check() throws(Failure) {
        switch self {
        case .item(_, let key), .fetch(let key, _, _): if let refusal = Key.refusal(ofBytes: key) { throw refusal }
        case .call(let key, _, _): try Self.check(key)
        case .map(let map):
            try Self.check(name: map.name)
            guard abs(map.now) <= Self.numberMax else { throw Self.notUnderstood }
        case .stage(let block):
            try Self.check(name: block.frame)
            guard block.firstLine <= UInt64(Self.numberMax) else { throw Self.notUnderstood }
        case .control(_, let argument):
            for field in ["name", "frame"] { if let name = argument[field]?.text { try Self.check(name: name) } }
        }
    }

    private static func check(name: String) throws(Failure) {
        guard (1...nameBytesMax).contains(name.utf8.count) else {
            throw Failure(
                .scriptError, "a name has 1 to \(nameBytesMax) bytes, this one has \(name.utf8.count)")
        }
    }

    /// As it would be written: a key, with a type and a method that are names.
    private static func check(_ key: VirtualKey) throws(Failure) {
        let bytes = key.arguments.reduce(key.type.utf8.count + key.method.utf8.count + key.object.count + 2) {
            $0 + $1.count + 1
        }
        if let refusal = Key.refusal(ofCount: bytes) { throw refusal }
        guard isName(key.type), isName(key.method) else {
            throw Failure(.scriptError, "a type and a method are names of letters, digits and '_'")
        }
    }

    private static func isName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}
