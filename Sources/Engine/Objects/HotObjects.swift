// Which objects of a shard are called most: sampled by whoever has the gate, read by anybody. Unsafe: names are raw buffers.

import Synchronization

final class HotObjects: Sendable {
    static let capacity = 64
    /// Fewer than for items: to record a call of one among many objects costs as much as a short method, and it is what
    /// calls cost until there were some hundreds.
    private static let recordsPerPeriod = 256

    private let sketch = Mutex(
        HotKeys(capacity: HotObjects.capacity, recordsPerPeriod: HotObjects.recordsPerPeriod))

    /// Records a call that stands for a period of them; returns how many to let pass before the next is to be recorded.
    @inline(never)
    func record(type: String, name: UnsafeRawBufferPointer) -> UInt64 {
        var type = type
        return type.withUTF8 { type in
            withUnsafeTemporaryAllocation(byteCount: type.count + 1 + name.count, alignment: 1) { key in
                UnsafeMutableRawBufferPointer(rebasing: key[..<type.count]).copyMemory(
                    from: UnsafeRawBufferPointer(type))
                key[type.count] = UInt8(ascii: ":")
                UnsafeMutableRawBufferPointer(rebasing: key[(type.count + 1)...]).copyMemory(from: name)
                let key = UnsafeRawBufferPointer(key)
                return sketch.withLock { $0.recordNext(key, hash: keyHash(key)) }
            }
        }
    }

    func hottest(limit: Int) -> [HotKey] { sketch.withLock { HotKeys.top(limit, of: [$0]) } }
}
