// Replays a trace against the stores of one node, in process: misses, copies, memory, processor time.

import Engine
import Foundation
import Glibc

@main
enum Replay {
    static func main() {
        var options = Options(CommandLine.arguments.dropFirst())
        let pool = ValuePool(textShare: options.textShare, seed: 1)
        print("trace                 requests  misses  avoidable  ratio    evicted    copied   live/limit  MiB   s CPU")
        for name in options.traces {
            let trace: Trace
            if let synthetic = Trace(synthetic: name, memoryBytes: options.memoryBytes) {
                trace = synthetic
            } else {
                do {
                    trace = try Trace(path: name, scale: options.scale)
                } catch {
                    let names = Trace.syntheticNames.joined(separator: ", ")
                    let line = "'\(name)' is no trace: give a file of one, or a made-up one of \(names)\n"
                    FileHandle.standardError.write(Data(line.utf8))
                    exit(1)
                }
            }
            replay(trace, name: name, options: options, pool: pool)
        }
        options.traces = []
    }

    /// One process's requests in their order; look-aside, as a client would: a miss is followed by a set.
    static func replay(_ trace: Trace, name: String, options: Options, pool: ValuePool) {
        let stores = (0..<options.shards).map { _ in
            ItemStore(options.configuration)
        }
        var misses = 0
        var windows: [Int] = []
        /// What the small queues might take at the end of each window, of the memory.
        var smallShares: [Double] = []
        let started = clock()
        withUnsafeTemporaryAllocation(byteCount: 20, alignment: 8) { name in
            let key = UnsafeRawBufferPointer(name)
            name.copyBytes(from: "k0000000000000000000".utf8)
            for (at, request) in trace.requests.enumerated() {
                if at % options.window == 0 {
                    windows.append(misses)
                    smallShares.append(smallShare(stores))
                }
                var rest = request.key
                for at in stride(from: 19, to: 9, by: -1) {
                    name[at] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                }
                let hash = keyHash(key)
                let store = stores[Int(((hash >> 32) * UInt64(stores.count)) >> 32)]
                guard !store.read(key: key, hash: hash, now: 100, { precondition($0.value.count >= 0) }) else {
                    continue
                }
                misses += 1
                pool.withValue(key: UInt64(request.key), bytes: Int(request.bytes)) {
                    _ = store.store(
                        .set, key: key, hash: hash, flags: 0, expiry: .never, cas: 0, value: $0, now: 100)
                }
            }
        }
        let seconds = Double(clock() - started) / Double(CLOCKS_PER_SEC)
        let sum = stores.reduce(ItemStatistics()) { $0 + $1.statistics }
        let label = name.split(separator: "/").last.map(String.init) ?? name
        let line = String(
            format: "%-20@ %9d %8d %9d  %.5f %9d %9d  %.3f %5d  %.2f", label as NSString, trace.requests.count, misses,
            misses - trace.distinctKeys, Double(misses) / Double(trace.requests.count), Int(sum.evictions),
            Int(sum.copies), Double(sum.liveBytes) / Double(sum.limitBytes), sum.usedBytes >> 20, seconds)
        print(line)
        guard windows.count > 1 else { return }
        let ratios = zip(windows, windows.dropFirst()).map { 1 - Double($1 - $0) / Double(options.window) }
        print("  hits:  " + ratios.map { String(format: "%.3f", $0) }.joined(separator: " "))
        print("  small: " + smallShares.dropFirst().map { String(format: "%.3f", $0) }.joined(separator: " "))
    }

    private static func smallShare(_ stores: [ItemStore]) -> Double {
        let sum = stores.reduce(ItemStatistics()) { $0 + $1.statistics }
        return Double(sum.smallQuotaBytes) / Double(sum.limitBytes)
    }
}

struct Options {
    var memoryBytes = 64 << 20
    var shards = 2
    var scale = 1.0
    var textShare = 0.0
    /// Requests; the hit ratio of each so many is printed.
    var window = Int.max
    var compresses = true
    var traces: [String] = []

    init(_ arguments: ArraySlice<String>) {
        var rest = arguments
        while let word = rest.popFirst() {
            switch word {
            case "--memory": memoryBytes = Int(Double(rest.popFirst() ?? "") ?? 64) << 20
            case "--shards": shards = Int(rest.popFirst() ?? "") ?? 2
            case "--scale": scale = Double(rest.popFirst() ?? "") ?? 1
            case "--compressible": textShare = Double(rest.popFirst() ?? "") ?? 0.7
            case "--window": window = max(1, Int(rest.popFirst() ?? "") ?? 100_000)
            case "--no-compression": compresses = false
            default: traces.append(word)
            }
        }
        if traces.isEmpty { traces = Trace.syntheticNames }
    }

    var configuration: ItemStoreConfiguration {
        ItemStoreConfiguration(memoryBytes: memoryBytes / shards, compresses: compresses)
    }
}
