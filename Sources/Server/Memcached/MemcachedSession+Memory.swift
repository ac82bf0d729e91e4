// What a session holds of input that it can't use yet, and what becomes of it where memory is short.
//
// Unsafe: copies and parses raw buffers, within their counts.

import Engine

extension MemcachedSession {
    /// Makes no more room than what has come needs and half of that again, nor more than the block at hand needs.
    func hold(_ bytes: UnsafeRawBufferPointer) {
        let count = held.count + bytes.count
        if count > held.capacity {
            let roomy = count + count / 2
            held.reserveCapacity(neededBytes >= count ? min(roomy, neededBytes) : roomy)
        }
        held.append(contentsOf: bytes)
    }

    /// What a connection may keep for its next half of a request.
    static var idleBytesMax: Int { 4 << 10 }

    /// What it holds of what has come and of what is to go, in bytes.
    var bufferBytes: Int { held.capacity &+ out.capacity &+ ready.capacity &+ queuedBytes &+ sentBehindBytes }

    /// Refuses the half-sent request that it holds, whose rest will be skipped. False where it holds none, but output.
    func refuseHeld() -> Bool {
        guard verdict == .open, !held.isEmpty, retrieval == nil, !awaitsCredentials else { return false }
        let bytes = held
        let rest = max(0, neededBytes - bytes.count)
        held = []
        counters.add(.buffersRefused)
        bytes.withUnsafeBytes { bytes in
            guard neededBytes > 0, case .request(let request, let lineBytes) = parser.parse(bytes) else {
                // In the middle of a line: where the next one starts can't be known.
                out.writeLine("SERVER_ERROR out of memory reading request\r\n")
                verdict = .closing
                return
            }
            swallowBytes = rest
            switch request {
            case .storage(let storage):
                refuse(storage, key: UnsafeRawBufferPointer(rebasing: bytes[storage.key]), .outOfMemory)
            case .meta(let verb): refuseMetaBlock(verb, bytes, lineBytes)
            default: break
            }
        }
        neededBytes = 0
        sendBatches()
        return true
    }
}
