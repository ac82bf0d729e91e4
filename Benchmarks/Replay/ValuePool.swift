// Values to store: a function of key and size, of bytes that compress as much as is asked for.

/// Text of a small schema, interleaved with noise every few dozen bytes. A value is a run of the pool at a place that
/// depends on its key.
struct ValuePool {
    static let bytesMax = 2 << 20
    private static let poolBytes = 16 << 20
    private let bytes: [UInt8]

    /// `textShare` of the bytes are text, the rest is noise: 0 for values that don't compress.
    init(textShare: Double, seed: UInt64) {
        var random = SplitMix(state: seed)
        let fragments = Self.fragments(&random)
        var pool: [UInt8] = []
        pool.reserveCapacity(Self.poolBytes + Self.bytesMax)
        var textBytes = 0
        var noiseBytes = 0
        while pool.count < Self.poolBytes {
            if textShare > 0 {
                let fragment = fragments[random.below(fragments.count)]
                pool += fragment
                textBytes += fragment.count
            }
            let due = textShare > 0 ? Int(Double(textBytes) * (1 - textShare) / textShare) - noiseBytes : 1024
            guard due >= 8 || textShare >= 1 else { continue }
            for _ in 0..<max(due, 0) { pool.append(UInt8(truncatingIfNeeded: random.next() >> 32)) }
            noiseBytes += max(due, 0)
        }
        pool.removeSubrange(Self.poolBytes...)
        bytes = pool + pool.prefix(Self.bytesMax)
    }

    private static func fragments(_ random: inout SplitMix) -> [[UInt8]] {
        func words(_ count: Int) -> [String] {
            (0..<count).map { _ in
                String((0..<(3 + random.below(7))).map { _ in Character(UnicodeScalar(UInt8(97 + random.below(26)))) })
            }
        }
        let names = words(24)
        let values = words(200)
        let numbers = ["0", "1", "7", "100", "2024", "86400"]
        return (0..<2000).map { _ in
            let name = names[random.below(names.count)]
            let isWord = random.below(10) < 6
            let value = isWord ? "\"\(values[random.below(values.count)])\"" : numbers[random.below(numbers.count)]
            return Array("\"\(name)\":\(value),".utf8)
        }
    }

    func withValue<R>(key: UInt64, bytes count: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        precondition(count <= Self.bytesMax)
        let place = Int((key &* 0x9E37_79B9_7F4A_7C15) >> 20) % Self.poolBytes
        return bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[place..<(place + count)])) }
    }
}

/// A small, seeded generator, so that every run sees the same stream.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    mutating func unit() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }
}
