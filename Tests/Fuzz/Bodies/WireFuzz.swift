// Bytes into everything that decodes what another node says: what is understood is encoded to the same again.

import Engine
import Gather
import NIOCore

enum WireFuzz {
    static func run(_ input: [UInt8]) -> String? {
        var choices = Choices(input)
        let kind = choices.byte() % 5
        let bytes = choices.rest()
        switch kind {
        case 0: return value(bytes)
        case 1:
            var buffer = ByteBuffer(bytes: bytes)
            guard let request = PeerRequest(decoding: &buffer) else { return nil }
            var encoded = ByteBuffer()
            request.encode(into: &encoded)
            let again = PeerRequest(decoding: &encoded)
            return again == nil ? "a request that can't be read again: \(request)" : nil
        case 2:
            var buffer = ByteBuffer(bytes: bytes)
            guard let reply = PeerReply(decoding: &buffer) else { return nil }
            var encoded = ByteBuffer()
            reply.encode(into: &encoded)
            let again = PeerReply(decoding: &encoded)
            return again == nil ? "a reply that can't be read again: \(reply)" : nil
        case 3:
            guard let partial = try? Partial(decoding: bytes) else { return nil }
            return (try? Partial(decoding: partial.encoded())) == nil ? "a partial that can't be read again" : nil
        default: return frames(bytes)
        }
    }

    private static func value(_ bytes: [UInt8]) -> String? {
        guard let value = Value(messagePack: bytes) else { return nil }
        let encoded = value.messagePack
        guard let again = Value(messagePack: encoded) else { return "a value that can't be read again" }
        // Compared as bytes: a number that is none differs from itself.
        if again.messagePack != encoded { return "a value that is another one when read again" }
        return value.json.isEmpty ? "a value without a text" : nil
    }

    private static func frames(_ bytes: [UInt8]) -> String? {
        var decoder = PeerFrameDecoder()
        for piece in stride(from: 0, to: bytes.count, by: 5) {
            decoder.append(ByteBuffer(bytes: bytes[piece..<min(piece + 5, bytes.count)]))
            do { while try decoder.next() != nil {} } catch { return nil }
        }
        return nil
    }
}
