// What a session holds of input that it can't use yet, and what becomes of it where memory is short.
//
// Unsafe: copies and parses raw buffers, within their counts.

import Engine

extension MemcachedSession {
    /// What it holds of what has come and of what is to go, in bytes.
    var bufferBytes: Int { held.capacity &+ sending.capacity &+ queuedBytes }

    /// Refuses the half-sent request that it holds, whose rest will be skipped. False where it holds none, but output.
    func refuseHeld() -> Bool {
        guard verdict == .open, !held.isEmpty, retrieval == nil, !awaitsCredentials else { return false }
        let bytes = held.take()
        let rest = max(0, held.neededBytes - bytes.count)
        counters.add(.buffersRefused)
        bytes.withUnsafeBytes { bytes in
            guard held.neededBytes > 0, case .request(let request, let lineBytes) = parser.parse(bytes) else {
                // In the middle of a line: where the next one starts can't be known.
                sending.written.writeLine("SERVER_ERROR out of memory reading request\r\n")
                verdict = .closing
                return
            }
            held.swallowBytes = rest
            switch request {
            case .storage(let storage):
                refuse(storage, key: UnsafeRawBufferPointer(rebasing: bytes[storage.key]), .outOfMemory)
            case .meta(let verb): refuseMetaBlock(verb, bytes, lineBytes)
            default: break
            }
        }
        held.neededBytes = 0
        sendBatches()
        return true
    }
}
