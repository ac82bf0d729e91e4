// The text that Prometheus reads: families of samples, each with its help and its type.

struct MetricsText {
    enum Kind: String { case counter, gauge, histogram }

    private(set) var bytes: [UInt8] = []

    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    init() { bytes.reserveCapacity(64 << 10) }

    /// What follows belongs to this family. Its samples have its name, those of a histogram with an ending.
    mutating func family(_ name: StaticString, _ kind: Kind, _ help: StaticString) {
        write("# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n")
        self.name = "\(name)"
    }

    private var name = ""

    mutating func sample(_ labels: KeyValuePairs<StaticString, String>, _ value: some BinaryInteger) {
        begin("", labels, last: nil)
        write("\(value)\n")
    }

    mutating func sample(_ labels: KeyValuePairs<StaticString, String> = [:], seconds: Double) {
        begin("", labels, last: nil)
        write("\(seconds)\n")
    }

    /// A family of one sample.
    mutating func single(_ name: StaticString, _ kind: Kind, _ help: StaticString, _ value: some BinaryInteger) {
        family(name, kind, help)
        sample([:], value)
    }

    /// Buckets in seconds, their sum and their count.
    mutating func histogram(
        _ labels: KeyValuePairs<StaticString, String>, bounds: [UInt64], counts: [UInt64], nanoseconds: UInt64
    ) {
        var sum: UInt64 = 0
        for (at, count) in counts.enumerated() {
            sum &+= count
            begin("_bucket", labels, last: at < bounds.count ? "\(Self.seconds(bounds[at]))" : "+Inf")
            write("\(sum)\n")
        }
        begin("_sum", labels, last: nil)
        write("\(Self.seconds(nanoseconds))\n")
        begin("_count", labels, last: nil)
        write("\(sum)\n")
    }

    static func seconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1e9 }

    // MARK: Inside

    private mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }

    /// A sample up to its value. `last`: of the label `le`.
    private mutating func begin(
        _ ending: StaticString, _ labels: KeyValuePairs<StaticString, String>, last: String?
    ) {
        write(name)
        if ending.utf8CodeUnitCount > 0 { write("\(ending)") }
        var isFirst = true
        func separate(_ bytes: inout [UInt8]) {
            bytes.append(UInt8(ascii: isFirst ? "{" : ","))
            isFirst = false
        }
        for (label, value) in labels {
            separate(&bytes)
            write("\(label)=\"")
            for byte in value.utf8 {
                switch byte {
                case UInt8(ascii: "\\"): bytes.append(contentsOf: #"\\"#.utf8)
                case UInt8(ascii: "\""): bytes.append(contentsOf: #"\""#.utf8)
                case UInt8(ascii: "\n"): bytes.append(contentsOf: #"\n"#.utf8)
                default: bytes.append(byte)
                }
            }
            bytes.append(UInt8(ascii: "\""))
        }
        if let last {
            separate(&bytes)
            write("le=\"\(last)\"")
        }
        if !isFirst { bytes.append(UInt8(ascii: "}")) }
        bytes.append(UInt8(ascii: " "))
    }
}
