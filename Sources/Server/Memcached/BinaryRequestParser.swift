// Memcached's binary protocol: bytes in; a request, a refusal or "need more" out.
//
// Unsafe: reads the input through a raw buffer, within its count. Pure: it keeps nothing, so that bytes fed one at a time and all
// at once give the same. Refusals follow memcached 1.6.45.

import Engine

enum BinaryParseResult: Equatable {
    /// No use looking again before there are so many bytes.
    case needsMore(bytes: Int)
    /// Header, extras and key are there; a value that the header tells of may still be on its way.
    case request(BinaryRequest)
    /// `isFinal`: where the next request starts can't be known, or it is no use to look.
    case refused(BinaryHeader, BinaryStatus, isFinal: Bool)
    /// Not of this protocol.
    case notAClient
}

enum BinaryRequestParser {
    static let keyBytesMax = Key.bytesMax
    /// The name of a mechanism of SASL.
    static let mechanismBytesMax = 32

    /// Parses the request that `bytes`, which are not empty, start with. Lengths are looked at as soon as the header is there, and
    /// nothing that a header promises is waited for before it was found sound. Cost: constant.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> BinaryParseResult {
        guard bytes[0] == BinaryMagic.request else { return .notAClient }
        guard bytes.count >= BinaryHeader.bytes, let base = bytes.baseAddress else {
            return .needsMore(bytes: BinaryHeader.bytes)
        }
        let header = BinaryHeader(base)
        guard header.isSound else { return .refused(header, .unknownCommand, isFinal: true) }
        guard header.keyBytes <= keyBytesMax else { return .refused(header, .invalid, isFinal: true) }
        guard let verb = BinaryVerb(opcode: header.opcode) else {
            return .refused(header, .unknownCommand, isFinal: false)
        }
        guard hasItsForm(header, verb) else { return .refused(header, .invalid, isFinal: true) }
        guard bytes.count >= header.valueStart else { return .needsMore(bytes: header.valueStart) }
        return .request(request(header, verb, base + BinaryHeader.bytes))
    }

    /// Extras of the one right size; a key where there has to be one, and only there; nothing behind it where no value belongs.
    private static func hasItsForm(_ header: BinaryHeader, _ verb: BinaryVerb) -> Bool {
        guard verb.takesValue || header.valueBytes == 0 else { return false }
        let extras = header.extrasBytes
        let hasKey = header.keyBytes > 0
        switch verb {
        case .get, .delete, .append, .prepend, .authenticate, .authenticateFurther: return hasKey && extras == 0
        case .touch, .getAndTouch: return hasKey && extras == 4
        case .set, .add, .replace: return hasKey && extras == 8
        case .increment, .decrement: return hasKey && extras == 20
        case .statistics: return extras == 0
        case .flush: return !hasKey && (extras == 0 || extras == 4)
        case .quit, .noop, .version, .listMechanisms: return !hasKey && extras == 0
        }
    }

    /// `extras`: as many as the verb has.
    private static func request(
        _ header: BinaryHeader, _ verb: BinaryVerb, _ extras: UnsafeRawPointer
    ) -> BinaryRequest {
        var request = BinaryRequest(header: header, verb: verb)
        switch verb {
        case .touch, .getAndTouch: request.exptime = word(extras, 0)
        case .flush where header.extrasBytes == 4: request.exptime = word(extras, 0)
        case .set, .add, .replace:
            request.flags = word(extras, 0)
            request.exptime = word(extras, 4)
        case .increment, .decrement:
            request.delta = UInt64(bigEndian: extras.loadUnaligned(as: UInt64.self))
            request.initial = UInt64(bigEndian: extras.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            request.exptime = word(extras, 16)
        default: break
        }
        return request
    }

    @inline(__always)
    private static func word(_ extras: UnsafeRawPointer, _ at: Int) -> UInt32 {
        UInt32(bigEndian: extras.loadUnaligned(fromByteOffset: at, as: UInt32.self))
    }

    // MARK: Plain requests

    /// The get or set that starts there, where it is complete and asks for nothing else: no unique.
    @inline(__always)
    static func scan(
        _ bytes: UnsafeRawBufferPointer, _ start: Int, _ valueBytesMax: Int
    ) -> (PlainRequest, colons: Int)? {
        guard bytes.count &- start >= BinaryHeader.bytes, let base = bytes.baseAddress,
            bytes[start] == BinaryMagic.request
        else { return nil }
        let header = BinaryHeader(base + start)
        let isSet = isPlainSet(header.opcode)
        guard isSet || isGet(header.opcode) else { return nil }
        let extrasBytes = isSet ? plainSetExtrasBytes : 0
        // None of these can overflow: a body has 32 bits, a key 16.
        let keyEnd = BinaryHeader.bytes &+ extrasBytes &+ header.keyBytes
        let valueBytes = header.bodyBytes &- extrasBytes &- header.keyBytes
        let requestBytes = BinaryHeader.bytes &+ header.bodyBytes
        guard header.keyBytes > 0, header.keyBytes <= keyBytesMax, header.extrasBytes == extrasBytes, valueBytes >= 0,
            valueBytes <= (isSet ? valueBytesMax : 0), bytes.count &- start >= requestBytes
        else { return nil }
        var request = PlainRequest(
            keyStart: start &+ keyEnd &- header.keyBytes, keyBytes: header.keyBytes, valueStart: start &+ keyEnd,
            requestBytes: requestBytes, hash: 0, set: nil)
        if isSet {
            guard header.unique == 0 else { return nil }
            let extras = base + start + BinaryHeader.bytes
            request.set = PlainRequest.Block(
                flags: word(extras, 0), exptime: Int64(word(extras, 4)), valueBytes: valueBytes, isSilent: false)
        }
        return (request, KeyScan.colons(bytes, from: request.keyStart, count: request.keyBytes))
    }

    /// What the answer to a plain request repeats of it.
    @inline(__always)
    static func echo(of request: UnsafePointer<PlainRequest>, in bytes: UnsafeRawBufferPointer) -> BinaryEcho {
        let start = request.pointee.valueStart &- request.pointee.keyBytes
        let extrasBytes = request.pointee.set == nil ? 0 : plainSetExtrasBytes
        return BinaryHeader(bytes.baseAddress! + (start &- extrasBytes &- BinaryHeader.bytes)).echo
    }

    /// The key that a get or a set begins with, if that is what the bytes are.
    static func firstKey(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard bytes.count >= BinaryHeader.bytes, let base = bytes.baseAddress, bytes[0] == BinaryMagic.request else {
            return nil
        }
        let header = BinaryHeader(base)
        guard isGet(header.opcode) || isPlainSet(header.opcode), (1...keyBytesMax).contains(header.keyBytes),
            header.isSound,
            bytes.count >= header.valueStart
        else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[header.valueStart - header.keyBytes..<header.valueStart])
    }

    private static var plainSetExtrasBytes: Int { 8 }

    /// GET, GETQ, GETK, GETKQ.
    @inline(__always)
    private static func isGet(_ opcode: UInt8) -> Bool {
        opcode == 0x00 || opcode == 0x0D || opcode == 0x0C || opcode == 0x09
    }

    /// SET, SETQ.
    @inline(__always)
    private static func isPlainSet(_ opcode: UInt8) -> Bool { opcode == 0x01 || opcode == 0x11 }
}
