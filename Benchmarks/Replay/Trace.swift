// Requests to replay: recorded ones from a file, and synthetic ones that are hard on one policy or another.

import Foundation

struct Trace {
    struct Request {
        var key: UInt32
        var bytes: UInt32
    }

    var requests: [Request] = []

    /// Keys that were asked for at least once: their first miss can't be avoided.
    var distinctKeys: Int { Set(requests.map(\.key)).count }

    /// A file of `time,key,size,…` lines with a header. Sizes are multiplied by `scale`.
    init(path: String, scale: Double) throws {
        let text = try Data(contentsOf: URL(fileURLWithPath: path))
        for line in text.split(separator: UInt8(ascii: "\n")).dropFirst() {
            var fields: [UInt64] = [0, 0, 0]
            var at = 0
            for byte in line {
                if byte == UInt8(ascii: ",") {
                    at += 1
                    if at == 3 { break }
                } else {
                    fields[at] = fields[at] &* 10 &+ UInt64(byte &- UInt8(ascii: "0"))
                }
            }
            let bytes = max(1, UInt32(Double(fields[2]) * scale))
            requests.append(Request(key: UInt32(fields[1]), bytes: bytes))
        }
    }

    static let syntheticNames = ["zipf", "scan+loop", "two-hit", "size-shift", "size-same", "zipf-sizes", "uniform"]

    /// Requests whose working set is a few times `memoryBytes`.
    init?(synthetic name: String, memoryBytes: Int) {
        var random = SplitMix(state: 7)
        let fitting = memoryBytes / 1100
        switch name {
        case "zipf":
            let zipf = Zipf(count: fitting * 4, exponent: 0.9)
            for _ in 0..<fitting * 30 { add(zipf.draw(&random), 1024) }
        case "uniform":
            for _ in 0..<fitting * 30 { add(random.below(fitting * 2), 1024) }
        case "scan+loop":
            // Zipf, with scans of keys that never come back, and a loop a bit larger than the memory.
            let zipf = Zipf(count: fitting, exponent: 0.9)
            var scanned = 0
            for at in 0..<fitting * 30 {
                switch at / (fitting / 2) % 4 {
                case 1:
                    scanned += 1
                    add(1 << 28 | scanned, 1024)
                case 3: add(1 << 27 | at % (fitting + fitting / 5), 1024)
                default: add(zipf.draw(&random), 1024)
                }
            }
        case "two-hit":
            // Each key is asked for twice, with more than a tenth of the memory in between.
            let gap = fitting * 3 / 10
            for at in 0..<fitting * 12 {
                add(at, 1024)
                if at >= gap { add(at - gap, 1024) }
            }
        case "size-shift", "size-same":
            // Small values, then large ones of other keys, then the small ones again; or small ones throughout.
            let phases = name == "size-shift" ? [(1, 100), (2, 10_240), (1, 100)] : [(1, 100), (1, 100), (1, 100)]
            for (phase, bytes) in phases {
                let zipf = Zipf(count: memoryBytes / (bytes + 60) * 2, exponent: 0.8)
                for _ in 0..<memoryBytes / (bytes + 60) * 10 { add(phase << 27 | zipf.draw(&random), bytes) }
            }
        case "zipf-sizes":
            let zipf = Zipf(count: fitting * 4, exponent: 0.9)
            for _ in 0..<fitting * 30 {
                let key = zipf.draw(&random)
                var size = SplitMix(state: UInt64(key))
                add(key, Int(40 * pow(2, 10 * size.unit())))
            }
        default: return nil
        }
    }

    private mutating func add(_ key: Int, _ bytes: Int) {
        requests.append(Request(key: UInt32(key), bytes: UInt32(bytes)))
    }
}

/// Ranks 0..<count, the frequent ones first, scattered over the keys. Exact, by its cumulative distribution.
struct Zipf {
    private var cumulative: [Double] = []

    init(count: Int, exponent: Double) {
        var sum = 0.0
        for rank in 1...count {
            sum += pow(Double(rank), -exponent)
            cumulative.append(sum)
        }
    }

    func draw(_ random: inout SplitMix) -> Int {
        let wanted = random.unit() * cumulative[cumulative.count - 1]
        var low = 0
        var high = cumulative.count - 1
        while low < high {
            let middle = (low + high) / 2
            if cumulative[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
