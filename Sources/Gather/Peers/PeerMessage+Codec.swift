// Peer messages to and from bytes: little-endian numbers, lengths before bytes, MessagePack for values.

import Coordination
package import Engine
package import NIOCore

extension PeerRequest {
    package func encode(into buffer: inout ByteBuffer) {
        switch self {
        case .item(let command, let key):
            buffer.writeWire(UInt8(1))
            buffer.writeWire(bytes: key)
            command.encode(into: &buffer)
        case .call(let key, let data, let deadline):
            buffer.writeWire(UInt8(2))
            buffer.writeWire(bytes: Array(key.type.utf8))
            buffer.writeWire(bytes: Array(key.method.utf8))
            buffer.writeWire(bytes: key.object)
            buffer.writeWire(UInt32(key.arguments.count))
            for argument in key.arguments { buffer.writeWire(bytes: argument) }
            buffer.writeWire(UInt8(data == nil ? 0 : 1))
            if let data { buffer.writeWire(bytes: data) }
            buffer.writeWire(deadline)
            buffer.writeWire(key.expiry.stored)
            buffer.writeWire(UInt8(key.onlyIfAbsent ? 1 : 0))
        case .fetch(let key, let deadline, let byJob):
            buffer.writeWire(UInt8(3))
            buffer.writeWire(bytes: key)
            buffer.writeWire(deadline)
            buffer.writeWire(UInt8(byJob ? 1 : 0))
        case .map(let request):
            buffer.writeWire(UInt8(4))
            request.encode(into: &buffer)
        case .stage(let request):
            buffer.writeWire(UInt8(5))
            buffer.writeWire(request.load)
            buffer.writeWire(bytes: Array(request.frame.utf8))
            buffer.writeWire(request.format.wireByte)
            buffer.writeWire(value: .array(request.header.map { .string($0) }))
            buffer.writeWire(request.firstLine)
            buffer.writeWire(UInt8(request.skipsBadRows ? 1 : 0))
            buffer.writeWire(bytes: request.bytes)
        case .control(let verb, let argument):
            buffer.writeWire(UInt8(6))
            buffer.writeWire(verb.rawValue)
            buffer.writeWire(value: argument)
        }
    }

    /// Nil when the bytes are no request of this version, or one that nobody may make.
    package init?(decoding buffer: inout ByteBuffer) {
        guard let request = try? PeerRequest.decode(&buffer) else { return nil }
        self = request
    }

    /// Throws what is wrong with it: it is of another version, or one of its parts is not what it may be.
    package static func decode(_ buffer: inout ByteBuffer) throws(Failure) -> PeerRequest {
        guard let kind = buffer.readWire(UInt8.self), let request = decode(kind: kind, &buffer),
            buffer.readableBytes == 0
        else { throw notUnderstood }
        try request.check()
        return request
    }

    private static func decode(kind: UInt8, _ buffer: inout ByteBuffer) -> PeerRequest? {
        switch kind {
        case 1:
            guard let key = buffer.readWireBytes(), let command = ItemCommand(decoding: &buffer) else { return nil }
            return .item(command, key: key)
        case 2: return decodeCall(&buffer)
        case 3:
            guard let key = buffer.readWireBytes(), let deadline = buffer.readWire(UInt32.self),
                let byJob = buffer.readWire(UInt8.self)
            else { return nil }
            return .fetch(key: key, deadlineMilliseconds: deadline, byJob: byJob == 1)
        case 4: return MapRequest(decoding: &buffer).map { .map($0) }
        case 5: return decodeStage(&buffer)
        case 6:
            guard let verb = buffer.readWire(UInt8.self).flatMap(ControlVerb.init(rawValue:)),
                let argument = buffer.readWireValue(partsMax: partsMax(of: verb))
            else { return nil }
            return .control(verb: verb, argument: argument)
        default: return nil
        }
    }

    private static func decodeCall(_ buffer: inout ByteBuffer) -> PeerRequest? {
        guard let type = buffer.readWireText(), let method = buffer.readWireText(), let object = buffer.readWireBytes(),
            let count = buffer.readWire(UInt32.self), Int(count) <= Key.bytesMax
        else { return nil }
        var arguments: [[UInt8]] = []
        for _ in 0..<count {
            guard let argument = buffer.readWireBytes() else { return nil }
            arguments.append(argument)
        }
        guard let hasData = buffer.readWire(UInt8.self) else { return nil }
        var data: [UInt8]?
        if hasData == 1 {
            guard let bytes = buffer.readWireBytes() else { return nil }
            data = bytes
        }
        guard let deadline = buffer.readWire(UInt32.self), let expiry = buffer.readExpiry(),
            let onlyIfAbsent = buffer.readWire(UInt8.self)
        else { return nil }
        var key = VirtualKey(type: type, method: method, object: object, arguments: arguments)
        key.expiry = expiry
        key.onlyIfAbsent = onlyIfAbsent == 1
        return .call(key, data: data, deadlineMilliseconds: deadline)
    }

    private static func decodeStage(_ buffer: inout ByteBuffer) -> PeerRequest? {
        guard let load = buffer.readWire(UInt64.self), let frame = buffer.readWireText(),
            let format = buffer.readWire(UInt8.self).flatMap(RowFormat.init(wireByte:)),
            case .array(let header)? = buffer.readWireValue(partsMax: headerColumnsMax),
            let firstLine = buffer.readWire(UInt64.self), let skips = buffer.readWire(UInt8.self),
            let bytes = buffer.readWireBytes()
        else { return nil }
        return .stage(
            StageRequest(
                load: load, frame: frame, format: format, header: header.compactMap(\.text),
                firstLine: firstLine, skipsBadRows: skips == 1, bytes: bytes))
    }
}

extension RowFormat {
    /// 1 for CSV with commas, 2 for NDJSON, else the byte between the fields.
    fileprivate var wireByte: UInt8 {
        switch self {
        case .csv: 1
        case .delimited(let byte): byte
        case .ndjson: 2
        }
    }

    fileprivate init?(wireByte: UInt8) {
        switch wireByte {
        case 1: self = .csv
        case 2: self = .ndjson
        default:
            guard Self.canDelimit(wireByte) else { return nil }
            self = .delimited(by: wireByte)
        }
    }
}

extension PeerReply {
    /// Of an answer's value: 100,000 rows of 160 columns.
    private static let replyPartsMax = 16 << 20

    package func encode(into buffer: inout ByteBuffer) {
        switch self {
        case .item(let outcome):
            buffer.writeWire(UInt8(101))
            outcome.encode(into: &buffer)
        case .value(let value):
            buffer.writeWire(UInt8(102))
            buffer.writeWire(value: value)
        case .packed(let bytes):
            buffer.writeWire(UInt8(102))
            buffer.writeWire(bytes: bytes)
        case .failure(let failure):
            buffer.writeWire(UInt8(103))
            buffer.writeWire(failure: failure)
        case .mapped(let answer):
            buffer.writeWire(UInt8(104))
            answer.encode(into: &buffer)
        case .mapFailed(let failure, let log):
            buffer.writeWire(UInt8(106))
            buffer.writeWire(failure: failure)
            buffer.writeWire(log: log)
        }
    }

    package init?(decoding buffer: inout ByteBuffer) {
        guard let kind = buffer.readWire(UInt8.self), let reply = PeerReply.decode(kind: kind, &buffer),
            buffer.readableBytes == 0
        else { return nil }
        self = reply
    }

    private static func decode(kind: UInt8, _ buffer: inout ByteBuffer) -> PeerReply? {
        switch kind {
        case 101: ItemOutcome(decoding: &buffer).map { .item($0) }
        case 102: buffer.readWireValue(partsMax: replyPartsMax).map { .value($0) }
        case 103: buffer.readWireFailure().map { .failure($0) }
        case 104: MapAnswer(decoding: &buffer).map { .mapped($0) }
        case 106:
            buffer.readWireFailure().flatMap { failure in buffer.readWireLog().map { .mapFailed(failure, $0) } }
        default: nil
        }
    }
}

extension ItemCommand {
    func encode(into buffer: inout ByteBuffer) {
        switch self {
        case .get: buffer.writeWire(UInt8(1))
        case .getAndTouch(let expiry):
            buffer.writeWire(UInt8(2))
            buffer.writeWire(expiry.stored)
        case .store(let verb, let flags, let expiry, let cas, let value):
            buffer.writeWire(UInt8(3))
            buffer.writeWire(verb.rawValue)
            buffer.writeWire(flags)
            buffer.writeWire(expiry.stored)
            buffer.writeWire(cas)
            buffer.writeWire(bytes: value)
        case .delete: buffer.writeWire(UInt8(4))
        case .arithmetic(let verb, let delta):
            buffer.writeWire(UInt8(5))
            buffer.writeWire(verb.rawValue)
            buffer.writeWire(delta)
        case .touch(let expiry):
            buffer.writeWire(UInt8(6))
            buffer.writeWire(expiry.stored)
        case .meta(let command, let value):
            buffer.writeWire(UInt8(7))
            command.encode(into: &buffer)
            buffer.writeWire(bytes: value)
        }
    }

    init?(decoding buffer: inout ByteBuffer) {
        guard let kind = buffer.readWire(UInt8.self) else { return nil }
        switch kind {
        case 1: self = .get
        case 2:
            guard let expiry = buffer.readExpiry() else { return nil }
            self = .getAndTouch(expiry: expiry)
        case 3:
            guard let verb = buffer.readWire(UInt8.self).flatMap(StoreVerb.init(rawValue:)),
                let flags = buffer.readWire(UInt32.self), let expiry = buffer.readExpiry(),
                let cas = buffer.readWire(UInt64.self), let value = buffer.readWireBytes()
            else { return nil }
            self = .store(verb, flags: flags, expiry: expiry, cas: cas, value: value)
        case 4: self = .delete
        case 5:
            guard let verb = buffer.readWire(UInt8.self).flatMap(ArithmeticVerb.init(rawValue:)),
                let delta = buffer.readWire(UInt64.self)
            else { return nil }
            self = .arithmetic(verb, delta: delta)
        case 6:
            guard let expiry = buffer.readExpiry() else { return nil }
            self = .touch(expiry: expiry)
        case 7:
            guard let command = MetaCommand(decoding: &buffer), let value = buffer.readWireBytes() else { return nil }
            self = .meta(command, value: value)
        default: return nil
        }
    }
}

extension ItemOutcome {
    /// The outcomes that carry nothing, in wire order: the index is the code. Only ever append.
    private static let plain: [ItemOutcome] = [
        .miss, .stored, .notStored, .exists, .notFound, .deleted, .touched, .notANumber, .tooLarge, .outOfMemory,
    ]

    func encode(into buffer: inout ByteBuffer) {
        switch self {
        case .value(let flags, let cas, let bytes):
            buffer.writeWire(UInt8(200))
            buffer.writeWire(flags)
            buffer.writeWire(cas)
            buffer.writeWire(bytes: bytes)
        case .number(let number):
            buffer.writeWire(UInt8(201))
            buffer.writeWire(number)
        case .failed(let failure):
            buffer.writeWire(UInt8(202))
            buffer.writeWire(failure: failure)
        case .meta(let answer):
            buffer.writeWire(UInt8(203))
            answer.encode(into: &buffer)
        default: buffer.writeWire(UInt8(Self.plain.firstIndex(of: self)!))
        }
    }

    init?(decoding buffer: inout ByteBuffer) {
        guard let code = buffer.readWire(UInt8.self) else { return nil }
        switch code {
        case 200:
            guard let flags = buffer.readWire(UInt32.self), let cas = buffer.readWire(UInt64.self),
                let bytes = buffer.readWireBytes()
            else { return nil }
            self = .value(flags: flags, cas: cas, bytes: bytes)
        case 201:
            guard let number = buffer.readWire(UInt64.self) else { return nil }
            self = .number(number)
        case 202:
            guard let failure = buffer.readWireFailure() else { return nil }
            self = .failed(failure)
        case 203:
            guard let answer = MetaAnswer(decoding: &buffer) else { return nil }
            self = .meta(answer)
        default:
            guard Int(code) < Self.plain.count else { return nil }
            self = Self.plain[Int(code)]
        }
    }
}

extension MapRequest {
    fileprivate func encode(into buffer: inout ByteBuffer) {
        buffer.writeWire(query)
        buffer.writeWire(bytes: Array(name.utf8))
        buffer.writeWire(bytes: source)
        buffer.writeWire(value: parameters)
        buffer.writeWire(deadlineMilliseconds)
        buffer.writeWire(now)
        buffer.writeWire(UInt8(explains ? 1 : 0))
        buffer.writeWire(bytes: candidates)
        buffer.writeWire(value: .array(include.sorted().map { .int(Int64(bitPattern: $0)) }))
        buffer.writeWire(value: .array(counts.map(\.value)))
    }

    fileprivate init?(decoding buffer: inout ByteBuffer) {
        guard let query = buffer.readWire(UInt64.self), let name = buffer.readWireText(),
            let source = buffer.readWireBytes(),
            let parameters = buffer.readWireValue(partsMax: PeerRequest.parameterPartsMax),
            let deadline = buffer.readWire(UInt32.self), let now = buffer.readWire(Int64.self),
            let explains = buffer.readWire(UInt8.self), let candidates = buffer.readWireBytes(),
            let include = buffer.readWireValue(partsMax: PeerRequest.loadPartsMax).flatMap(Set.init(loads:)),
            let counts = buffer.readWireAcknowledgements(partsMax: MapAnswer.framePartsMax)
        else { return nil }
        self.init(
            query: query, name: name, source: source, parameters: parameters, deadlineMilliseconds: deadline, now: now,
            explains: explains == 1)
        self.candidates = candidates
        self.include = include
        self.counts = counts
    }
}

extension MapAnswer {
    fileprivate func encode(into buffer: inout ByteBuffer) {
        buffer.writeWire(incarnation)
        buffer.writeWire(UInt32(shards))
        buffer.writeWire(bytes: partial)
        for count in [
            rowsScanned, chunksScanned, chunksPruned, chunksCached, rowsEver,
        ] {
            buffer.writeWire(UInt64(count))
        }
        buffer.writeWire(UInt8((inexactness.isTruncated ? 1 : 0) | (inexactness.dependsOnMore ? 2 : 0)))
        buffer.writeWire(value: inexactness.relativeErrorsValue)
        buffer.writeWire(milliseconds.bitPattern)
        buffer.writeWire(value: .array(frames.map(\.value)))
        buffer.writeWire(
            value: .map(loads.sorted { $0.key < $1.key }.map { Value.Pair(.string($0.key), $0.value.value) }))
        buffer.writeWire(log: log)
    }

    fileprivate init?(decoding buffer: inout ByteBuffer) {
        guard let incarnation = buffer.readWire(UInt64.self), let shards = buffer.readWire(UInt32.self),
            (1...Self.shardsMax).contains(shards), let partial = buffer.readWireBytes(), let rows = buffer.readCount(),
            let chunks = buffer.readCount(), let pruned = buffer.readCount(), let cached = buffer.readCount(),
            let rowsEver = buffer.readCount(),
            let marks = buffer.readWire(UInt8.self), marks <= 3,
            let relativeErrors = buffer.readWireValue(partsMax: Self.errorPartsMax)
                .flatMap(Inexactness.relativeErrors(value:)),
            let milliseconds = buffer.readWire(UInt64.self).map({ Double(bitPattern: $0) }),
            (0...Self.millisecondsMax).contains(milliseconds),
            let frames = buffer.readWireAcknowledgements(partsMax: Self.framePartsMax),
            case .map(let looked)? = buffer.readWireValue(partsMax: Self.framePartsMax),
            let log = buffer.readWireLog()
        else { return nil }
        self.init(
            incarnation: incarnation, shards: Int(shards), partial: partial, rowsScanned: rows, chunksScanned: chunks,
            chunksPruned: pruned, chunksCached: cached, milliseconds: milliseconds, frames: frames)
        for frame in looked {
            guard let name = frame.key.text, let seen = FrameLoads.Seen(value: frame.value) else { return nil }
            loads[name] = seen
        }
        self.log = log
        self.rowsEver = rowsEver
        inexactness = Inexactness(
            isTruncated: marks & 1 != 0, relativeErrors: relativeErrors, dependsOnMore: marks & 2 != 0)
    }

    private static let shardsMax: UInt32 = 256
    fileprivate static let framePartsMax = 1 << 20
    /// A job of many plans has more aggregates than one, of 256.
    private static let errorPartsMax = 1 << 16
    /// A year.
    private static let millisecondsMax = 366.0 * 86_400_000
}

extension ByteBuffer {
    /// Of rows or chunks; nil for what can be no such count.
    fileprivate mutating func readCount() -> Int? {
        guard let count = readWire(UInt64.self), count <= UInt64(FrameAcknowledgements.rowsMax) else { return nil }
        return Int(count)
    }

    /// Nil where one of them can be none.
    fileprivate mutating func readWireAcknowledgements(partsMax: Int) -> [FrameAcknowledgements]? {
        guard case .array(let list)? = readWireValue(partsMax: partsMax) else { return nil }
        let found = list.compactMap(FrameAcknowledgements.init(value:)).filter(\.isSane)
        return found.count == list.count ? found : nil
    }
}
