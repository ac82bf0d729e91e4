// Bytes into everything that decodes what another node says: what is understood is encoded to the same again.

import Coordination
import Engine
import Gather
import NIOCore

enum WireFuzz {
    static func run(_ input: [UInt8]) -> String? {
        var choices = Choices(input)
        let first = choices.byte()
        if (150..<200).contains(first) { return changed(&choices) }
        let bytes = choices.rest()
        switch first % 5 {
        case 0: return value(bytes)
        case 1: return request(bytes)
        case 2: return reply(bytes)
        case 3:
            guard let partial = try? Partial(decoding: bytes) else { return nil }
            return (try? Partial(decoding: partial.encoded())) == nil ? "a partial that can't be read again" : nil
        default: return frames(bytes)
        }
    }

    /// A message as nodes send it today, some bytes of it changed, lost, or said twice.
    private static func changed(_ choices: inout Choices) -> String? {
        let sample = WireSamples.all[choices.below(WireSamples.all.count)]
        var bytes = sample.bytes
        while !choices.isEmpty, !bytes.isEmpty {
            let at = choices.below(bytes.count)
            switch choices.byte() % 4 {
            case 0: bytes[at] = choices.byte()
            case 1: bytes[at] ^= 1 << (choices.byte() % 8)
            case 2: bytes.insert(bytes[at], at: at)
            default: bytes.remove(at: at)
            }
        }
        if bytes == sample.bytes, !isUnderstood(sample) { return "a message of today is not understood: \(sample)" }
        return sample.isRequest ? request(bytes) : reply(bytes)
    }

    private static func isUnderstood(_ message: (isRequest: Bool, bytes: [UInt8])) -> Bool {
        var buffer = ByteBuffer(bytes: message.bytes)
        return message.isRequest ? PeerRequest(decoding: &buffer) != nil : PeerReply(decoding: &buffer) != nil
    }

    private static func request(_ bytes: [UInt8]) -> String? {
        var buffer = ByteBuffer(bytes: bytes)
        guard let request = PeerRequest(decoding: &buffer) else { return nil }
        if case .control(.synchronize, let argument) = request, let news = argument["news"] {
            _ = RegistryNews(value: news)
        }
        var encoded = ByteBuffer()
        request.encode(into: &encoded)
        let again = PeerRequest(decoding: &encoded)
        return again == nil ? "a request that can't be read again: \(request)" : nil
    }

    private static func reply(_ bytes: [UInt8]) -> String? {
        var buffer = ByteBuffer(bytes: bytes)
        guard let reply = PeerReply(decoding: &buffer) else { return nil }
        var encoded = ByteBuffer()
        reply.encode(into: &encoded)
        let again = PeerReply(decoding: &encoded)
        return again == nil ? "a reply that can't be read again: \(reply)" : nil
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
