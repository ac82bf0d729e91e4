// What the object tests share: a host with a dictionary as shelf and a clock that is set by hand.

import Engine
import Synchronization
import Testing

final class DictionaryShelf: ObjectShelf {
    private let objects = Mutex<[[UInt8]: [UInt8]]>([:])
    private let shared = Mutex<[Int]>([])
    let bytesMax: Int
    init(bytesMax: Int = .max) { self.bytesMax = bytesMax }

    func put(_ key: [UInt8], _ bytes: [UInt8], expiry: Expiry) -> Bool {
        guard bytes.count <= bytesMax else { return false }
        objects.withLock { $0[key] = bytes }
        return true
    }
    func take(_ key: [UInt8]) -> [UInt8]? { objects.withLock { $0.removeValue(forKey: key) } }
    func remove(_ key: [UInt8]) { _ = take(key) }
    func contains(_ key: [UInt8]) -> Bool { objects.withLock { $0[key] != nil } }
    func look(_ key: [UInt8]) -> [UInt8]? { objects.withLock { $0[key] } }
    func keys(prefix: [UInt8]) -> [[UInt8]] { objects.withLock { $0.keys.filter { $0.starts(with: prefix) } } }
    func share(_ bytes: Int) { shared.withLock { $0.append(bytes) } }
    /// What it was told, one after the other, of what live objects take.
    var sharedBytes: [Int] { shared.withLock { $0 } }
    func evictAll() { objects.withLock { $0.removeAll() } }
    var count: Int { objects.withLock { $0.count } }
}

final class TestClock: Sendable {
    private let milliseconds: Atomic<UInt64>
    init(seconds: UInt64) { milliseconds = Atomic(seconds * 1000) }
    func set(seconds: UInt64) { milliseconds.store(seconds * 1000, ordering: .relaxed) }
    var now: UInt64 { milliseconds.load(ordering: .relaxed) }
}

func parse(_ key: String) -> VirtualKey {
    Array(key.utf8).withUnsafeBytes { VirtualKey($0) } ?? VirtualKey(type: "", method: "")
}

/// Waits for results that arrive on other threads.
final class Collected<Element: Sendable>: Sendable {
    private let values = Mutex<[Element]>([])

    func add(_ value: Element) { values.withLock { $0.append(value) } }

    var count: Int { values.withLock { $0.count } }
    var all: [Element] { values.withLock { $0 } }

    /// All that came, once there are so many; a failure when that takes a minute.
    func wait(for count: Int) async -> [Element] {
        let limit = ContinuousClock.now + .seconds(60)
        while self.count < count, .now < limit { try? await Task.sleep(for: .milliseconds(1)) }
        if self.count < count { Issue.record("\(self.count) of \(count) came within a minute") }
        return values.withLock { $0 }
    }
}

extension ObjectHost {
    func ask(_ key: VirtualKey, data: [UInt8]? = nil, deadline: Deadline = .never) async -> Result<Value, Failure> {
        await withCheckedContinuation { continuation in
            call(key, data: data, deadline: deadline) { continuation.resume(returning: $0) }
        }
    }

    /// The answer as text, or `reason` in angle brackets.
    func answer(_ key: String, data: String? = nil) async -> String {
        switch await ask(parse(key), data: data.map { Array($0.utf8) }) {
        case .success(let value): String(decoding: value.answer, as: UTF8.self)
        case .failure(let failure): "<\(failure.reason.rawValue)>"
        }
    }

    func failure(_ key: String) async -> Failure? {
        guard case .failure(let failure) = await ask(parse(key)) else { return nil }
        return failure
    }
}

func makeHost(
    _ scripts: [ObjectScript] = [], shelf: any ObjectShelf = DictionaryShelf(), clock: TestClock? = nil,
    compute: ComputePool = ComputePool(width: 2), adjust: (inout ObjectHostConfiguration) -> Void = { _ in }
) throws -> ObjectHost {
    var configuration = ObjectHostConfiguration()
    configuration.methodNanosecondsMax = 10_000_000_000
    if let clock { configuration.environment = ClockedEnvironment { clock.now } }
    adjust(&configuration)
    return ObjectHost(
        types: try ObjectTypes(adding: scripts), shelf: shelf, compute: compute, configuration: configuration)
}

func script(_ source: String, file: String = "test.lua") -> ObjectScript {
    ObjectScript(file: file, source: Array(source.utf8))
}
