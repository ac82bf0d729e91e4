// Lists of this node's keys, written in slices: `lru_crawler metadump` and `mgdump`, and `stats cachedump`.
//
// Unsafe: keys are raw buffers into the store, read under its lock.

import Engine

enum KeyDumpStyle: Equatable {
    /// A line of facts about each key.
    case facts
    /// A meta command for each key, to be sent to a server.
    case commands

    var end: StaticString { self == .facts ? "END\r\n" : "EN\r\n" }
}

/// A list of all keys under way.
struct KeyDump {
    /// In one go under a store's lock, for some ten microseconds.
    static let itemsPerSlice = 128

    let style: KeyDumpStyle
    private var store = 0
    private var walk = ItemWalk()

    init(_ style: KeyDumpStyle) { self.style = style }

    /// Writes the next few keys. False once the list is complete, its end included.
    mutating func writeSlice(of stores: ItemStores, to out: inout ReplyBuffer, now: UInt32) -> Bool {
        let hasMore = stores.all[store].walk(&walk, count: Self.itemsPerSlice, now: now) { key, facts in
            switch style {
            case .facts: out.writeKeyFacts(key, facts, now: now)
            case .commands: out.writeMetaGet(key)
            }
        }
        if hasMore { return true }
        (store, walk) = (store + 1, ItemWalk())
        if store < stores.count { return true }
        out.writeLine(style.end)
        return false
    }
}

/// The list of `stats cachedump`, which is cut off.
struct ShortKeyList {
    private static let bytesMax = 2 << 20

    let itemsMax: Int
    private var items = 0
    private var bytes = 0

    init(itemsMax: Int) { self.itemsMax = itemsMax }

    mutating func write(_ store: ItemStore, to out: inout ReplyBuffer, now: UInt32) {
        var walk = ItemWalk()
        var hasMore = true
        while hasMore, items < itemsMax, bytes < Self.bytesMax {
            hasMore = store.walk(&walk, count: KeyDump.itemsPerSlice, now: now) { key, facts in
                // A key that came in base64 would break its line.
                guard items < itemsMax, bytes < Self.bytesMax, key.allSatisfy({ $0 > 0x20 }) else { return }
                let before = out.readableBytes
                out.writeLine("ITEM ")
                out.writeBytes(key)
                out.writeLine(" [")
                out.writeDecimal(UInt64(facts.valueBytes))
                out.writeLine(" b; ")
                out.writeDecimal(UInt64(facts.expiry.stored))
                out.writeLine(" s]\r\n")
                (items, bytes) = (items + 1, bytes + out.readableBytes - before)
            }
        }
    }
}

extension ReplyBuffer {
    /// As `lru_crawler metadump` says it: the lines end in a line feed alone, as memcached's do.
    fileprivate mutating func writeKeyFacts(_ key: UnsafeRawBufferPointer, _ facts: MetaFacts, now: UInt32) {
        writeLine("key=")
        writePercentEncoded(key)
        writeLine(" exp=")
        if facts.expiry.isNever { writeLine("-1") } else { writeDecimal(UInt64(facts.expiry.stored)) }
        writeLine(" la=")
        writeDecimal(UInt64(now &- facts.idleSeconds))
        writeLine(" cas=")
        writeDecimal(facts.unique)
        writeLine(facts.wasRead ? " fetch=yes cls=1 size=" : " fetch=no cls=1 size=")
        writeDecimal(UInt64(facts.totalBytes))
        writeLine("\n")
    }

    /// `mg` and the key, in base64 where it can't be sent as it is.
    fileprivate mutating func writeMetaGet(_ key: UnsafeRawBufferPointer) {
        writeLine("mg ")
        if key.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) {
            writeBytes(key)
            writeLine("\r\n")
        } else {
            writeBytes(Base64.encoded(key))
            writeLine(" b\r\n")
        }
    }

    fileprivate mutating func writePercentEncoded(_ key: UnsafeRawBufferPointer) {
        let target = room(for: key.count * 3)
        var count = 0
        for byte in key {
            PercentEscapes.write(byte, keeping: PercentEscapes.isUnreserved) { letter in
                target.storeBytes(of: letter, toByteOffset: count, as: UInt8.self)
                count += 1
            }
        }
        didWrite(count)
    }
}
