// How reads and writes of one process grow with its threads: the stores alone, without sockets, on keys drawn at random.
//
// A load generator on the same cores would take what a second thread could use; here there is none. Usage:
//   Scaling [--shards 2] [--readers 2] [--keys 100000] [--sets 0.1] [--rounds 3] [--million 4] [--threads 1,2]
// With `--readers 1` all threads share a shard's one lock.

import CLinux
import Engine
import Glibc

struct Options {
    var shards = 2
    var keyCount = 100_000
    var setShare = 0.0
    var rounds = 3
    var operationCount = 4_000_000
    var threadCounts = [1, 2]
    /// Nil: as many as threads.
    var readers: Int?

    init(_ arguments: [String]) {
        var rest = arguments[...]
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { Self.stop("\(name) needs a value") }
            switch name {
            case "--shards": shards = Self.number(value)
            case "--readers": readers = Self.number(value)
            case "--keys": keyCount = Self.number(value)
            case "--sets": setShare = Self.number(value)
            case "--rounds": rounds = Self.number(value)
            case "--million": operationCount = Self.number(value) * 1_000_000
            case "--threads": threadCounts = value.split(separator: ",").map { Self.number(String($0)) }
            default: Self.stop("there is no option \(name)")
            }
        }
    }

    private static func number<N: LosslessStringConvertible>(_ text: String) -> N {
        N(text) ?? { stop("\(text) is no number") }()
    }

    private static func stop(_ reason: String) -> Never {
        print("Scaling: \(reason)")
        exit(2)
    }
}

/// The keys, and what a thread does with them.
final class Workload: Sendable {
    private static let batch = 16
    private static let now: UInt32 = 100

    private let engine: Engine
    private let keys: [[UInt8]]
    private let hashes: [UInt64]
    private let value = [UInt8](repeating: 120, count: 100)
    /// Of 2^32.
    private let setBound: UInt64

    init(_ options: Options) {
        var configuration = EngineConfiguration(shards: options.shards, memoryBytes: 1 << 30)
        configuration.servingThreads = options.readers ?? options.threadCounts.max() ?? 1
        engine = Engine(configuration)
        keys = (0..<options.keyCount).map { number in
            let digits = String(number)
            return Array(("key:" + String(repeating: "0", count: 16 - digits.count) + digits).utf8)
        }
        hashes = keys.map { $0.withUnsafeBytes { keyHash($0) } }
        setBound = UInt64(options.setShare * 4_294_967_296)
        for number in keys.indices { set(number) }
    }

    private func set(_ number: Int) {
        keys[number].withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                _ = engine.stores.store(
                    .set, key: key, hash: hashes[number], flags: 0, expiry: .never, cas: 0, value: value, now: Self.now)
            }
        }
    }

    /// In batches, as a serving thread with several requests at hand.
    func run(thread: Int, operationCount: Int) {
        linux_set_thread_number(Int32(thread))
        var random = UInt64(thread) &* 77 &+ 12345
        let out = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 8)
        defer { out.deallocate() }
        var picked = [Int](repeating: 0, count: Self.batch)
        var pickedHashes = [UInt64](repeating: 0, count: Self.batch)
        for _ in 0..<operationCount / Self.batch {
            for at in 0..<Self.batch {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                picked[at] = Int(random >> 33) % keys.count
                pickedHashes[at] = hashes[picked[at]]
            }
            pickedHashes.withUnsafeBufferPointer { engine.stores.prefetch($0) }
            for at in 0..<Self.batch {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                guard random >> 32 >= setBound else {
                    set(picked[at])
                    continue
                }
                keys[picked[at]].withUnsafeBytes { key in
                    _ = engine.stores.read(key: key, hash: pickedHashes[at], now: Self.now) { item in
                        out.copyMemory(from: item.value.baseAddress!, byteCount: item.value.count)
                    }
                }
            }
        }
    }
}

@main
enum Scaling {
    static func main() {
        let options = Options(Array(CommandLine.arguments.dropFirst()))
        let workload = Workload(options)
        for _ in 0..<options.rounds {
            let rates = options.threadCounts.map { measure(workload, threads: $0, options.operationCount) }
            for (threads, rate) in zip(options.threadCounts, rates) {
                print("threads \(threads): \(rounded(rate / 1e6)) M/s, \(rounded(rate / rates[0])) x")
            }
        }
    }

    /// Operations a second of all threads together.
    private static func measure(_ workload: Workload, threads: Int, _ operationCount: Int) -> Double {
        let started = ContinuousClock.now
        let handles = (0..<threads).map { number in
            Thread { workload.run(thread: number, operationCount: operationCount) }
        }
        for handle in handles { handle.join() }
        let seconds = (ContinuousClock.now - started) / .seconds(1)
        return Double(threads * operationCount) / seconds
    }

    private static func rounded(_ number: Double) -> Double { (number * 100).rounded() / 100 }
}

private struct Thread {
    private var handle = pthread_t()

    init(_ body: @escaping () -> Void) {
        let context = Unmanaged.passRetained(Box(body)).toOpaque()
        let outcome = pthread_create(
            &handle, nil,
            { context in
                Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body()
                return nil
            }, context)
        precondition(outcome == 0, "no thread could be started")
    }

    func join() { pthread_join(handle, nil) }

    private final class Box {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }
}
