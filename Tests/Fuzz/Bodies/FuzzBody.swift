// What the fuzzers run on an input, and the test suite on the corpus; and how inputs are read as choices.

/// One target. `run` answers what is wrong, or nil; anything that traps is wrong too.
struct FuzzBody: Sendable {
    let name: String
    let run: @Sendable (_ input: [UInt8]) -> String?
}

enum FuzzBodies {
    static let all = [
        FuzzBody(name: "session", run: SessionFuzz.run), FuzzBody(name: "store", run: StoreFuzz.run),
        FuzzBody(name: "text", run: TextFuzz.run), FuzzBody(name: "wire", run: WireFuzz.run),
        FuzzBody(name: "plans", run: PlansFuzz.run), FuzzBody(name: "scripts", run: ScriptsFuzz.run),
        FuzzBody(name: "peers", run: PeersFuzz.run),
    ]
}

/// Bytes as choices; zeros once they are used up.
struct Choices {
    private let bytes: [UInt8]
    private(set) var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isEmpty: Bool { at >= bytes.count }

    mutating func byte() -> UInt8 {
        guard at < bytes.count else { return 0 }
        defer { at += 1 }
        return bytes[at]
    }

    /// 0 ..< bound, of up to 65,536.
    mutating func below(_ bound: Int) -> Int {
        bound <= 256 ? Int(byte()) % bound : (Int(byte()) << 8 | Int(byte())) % bound
    }

    mutating func rest() -> [UInt8] {
        defer { at = bytes.count }
        return Array(bytes.dropFirst(at))
    }
}
