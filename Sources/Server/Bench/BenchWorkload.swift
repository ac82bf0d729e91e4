// What a benchmark asks: how many connections, how deep, which keys, how large values, gets or sets or methods.

import Glibc

package struct BenchWorkload: Sendable {
    package enum Wire: String, Sendable {
        case memcached, redis
        /// memcached's other protocol.
        case binary
    }

    /// What one request is.
    enum Operation: Sendable, Equatable {
        case get
        case set
        /// Gets with this share of sets, 0 to 1.
        case mixed(setShare: Double)
        /// One request for several keys.
        case multiget(keys: Int)
        /// A virtual key, `%d` standing for the key's number; on redis an EVALSHA of `script` with the key `%d`.
        case method(template: String, setup: String, script: String)
    }

    var name: String
    var operation: Operation
    var connections = 50
    /// Requests sent before the first reply is awaited.
    var depth = 1
    var keys = 100_000
    var keyBytes = 20
    var valueBytes = 100
    /// Zipf exponent below 1, or nil for uniform keys.
    var zipf: Double?
    var seconds = 2.0

    /// memcached and its kin are asked in the binary protocol: gets and sets only.
    var isBinary = false

    /// memcached has no methods.
    var isMethod: Bool { if case .method = operation { true } else { false } }

    /// Requests a second over all connections, sent when they are due whether or not earlier ones were answered; nil: each
    /// connection sends as soon as it has its answers.
    var requestsPerSecond: Double?
    /// The rate is to be half of what the servers can do: see `BenchSuite`.
    var isHalfLoad = false

    /// Answers that one reply stands for, in the figure of CPU an operation.
    var operationsPerRequest: Int {
        if case .multiget(let keys) = operation { return keys }
        return 1
    }
}

/// Which key is next: seeded, uniform or Zipf (the method of Gray et al., SIGMOD 1994, as YCSB uses it).
package struct KeySampler {
    private var state: UInt64
    private let count: UInt64
    private let zipf: (theta: Double, alpha: Double, zetan: Double, eta: Double)?

    package init(keys: Int, zipf theta: Double?, seed: UInt64) {
        precondition(keys > 0)
        count = UInt64(keys)
        state = seed
        zipf = theta.map { theta in
            let zetan = Self.zeta(keys, theta)
            let eta = (1 - Self.power(2 / Double(keys), 1 - theta)) / (1 - Self.zeta(2, theta) / zetan)
            return (theta, 1 / (1 - theta), zetan, eta)
        }
    }

    package mutating func next() -> Int {
        guard let zipf else { return Int(random() % count) }
        let u = Double(random() >> 11) / Double(1 << 53)
        let uz = u * zipf.zetan
        if uz < 1 { return 0 }
        if uz < 1 + Self.power(0.5, zipf.theta) { return 1 }
        return min(Int(count) - 1, Int(Double(count) * Self.power(zipf.eta * u - zipf.eta + 1, zipf.alpha)))
    }

    /// SplitMix64.
    mutating func random() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    private static func zeta(_ n: Int, _ theta: Double) -> Double {
        (1...n).reduce(0) { $0 + 1 / power(Double($1), theta) }
    }

    private static func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
}
