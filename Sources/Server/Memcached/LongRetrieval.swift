// A retrieval of several keys, each a piece of its own: where the session stalls, it stops between two of them.
//
// Unsafe: reads lines through raw buffers, within their counts.

import Engine
import Gather

/// The one that is under way, if any. One thread at a time.
final class LongRetrieval<Routing: CommandRouter> {
    private struct Rest {
        let verb: RetrievalVerb
        let expiry: Expiry
        /// Of the keys and of the line, from the next key on.
        var keyBytes: Int
        var lineBytes: Int
    }

    private let context: SessionContext<Routing>
    private let replies: ReplyQueue
    private let items: ItemRequests<Routing>
    /// The next keys, and where they live.
    private let window = UnsafeMutableBufferPointer<UnsafeRawBufferPointer>.allocate(capacity: PlainRequests.countMax)
    private let places = UnsafeMutableBufferPointer<Place>.allocate(capacity: PlainRequests.countMax)
    private var rest: Rest?

    init(_ context: SessionContext<Routing>, replies: ReplyQueue, items: ItemRequests<Routing>) {
        self.context = context
        self.replies = replies
        self.items = items
    }

    deinit {
        window.deallocate()
        places.deallocate()
    }

    @inline(__always)
    var isUnderWay: Bool { rest != nil }

    /// Begins with the keys that the line has from its start on; returns how much of the line is done with.
    func begin(
        _ verb: RetrievalVerb, _ expiry: Expiry, _ line: UnsafeRawBufferPointer, keyBytes: Int, lineBytes: Int
    ) -> Int {
        rest = Rest(verb: verb, expiry: expiry, keyBytes: keyBytes, lineBytes: lineBytes)
        replies.beginRetrieval()
        return goOn(line)
    }

    /// Goes on with the keys of a line, of which `bytes` holds the rest.
    func goOn(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let current = rest else { return 0 }
        let keys = UnsafeRawBufferPointer(rebasing: bytes[..<current.keyBytes])
        var prefetched = 0
        var arePlacesKnown = false
        var number = 0
        var at = 0
        while at < keys.count {
            while at < keys.count, keys[at] == 0x20 { at &+= 1 }
            if at >= prefetched {
                (prefetched, arePlacesKnown) = prefetch(keys, from: at)
                number = 0
            }
            let end = KeyScan.blank(keys, from: at)
            if end > at {
                let key = UnsafeRawBufferPointer(rebasing: keys[at..<end])
                _ = items.retrieveKey(
                    key, current.verb, current.expiry, isAlone: false, place: arePlacesKnown ? places[number] : nil)
                number &+= 1
                if replies.takePostponement() { return stop(at, current) }
            }
            at = end
            if at < keys.count, !replies.mayGrow { return stop(at, current) }
        }
        rest = nil
        replies.endRetrieval()
        replies.written.writeLine("END\r\n")
        return current.lineBytes
    }

    private func stop(_ at: Int, _ current: Rest) -> Int {
        rest?.keyBytes = current.keyBytes - at
        rest?.lineBytes = current.lineBytes - at
        return at
    }

    /// Starts to bring in what the next keys of a line need; returns where the first key after them starts, and whether it is
    /// known now where they live. Methods are among them: they cost a little, and change nothing.
    @inline(__always)
    private func prefetch(_ keys: UnsafeRawBufferPointer, from start: Int) -> (end: Int, arePlacesKnown: Bool) {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: PlainRequests.countMax) { hashes in
            var count = 0
            var at = start
            while at < keys.count, count < hashes.count {
                let end = KeyScan.blank(keys, from: at)
                window[count] = UnsafeRawBufferPointer(rebasing: keys[at..<end])
                count &+= 1
                at = end
                while at < keys.count, keys[at] == 0x20 { at &+= 1 }
            }
            let areKnown = context.router.findPlaces(
                of: UnsafeBufferPointer(rebasing: window[..<count]), into: places)
            var hashCount = 0
            for number in 0..<count {
                let key = window[number]
                guard let hash = areKnown ? context.router.hash(of: key, at: places[number]) : keyHash(key) else {
                    continue
                }
                hashes[hashCount] = hash
                hashCount &+= 1
            }
            if hashCount > 1 { context.stores.prefetch(UnsafeBufferPointer(rebasing: hashes[..<hashCount])) }
            return (at, areKnown)
        }
    }
}
