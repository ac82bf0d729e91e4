// Messages as nodes send them today, one of each kind: inputs that are changed from these get as deep as the version there is.

import Coordination
import Engine
import Gather
import NIOCore

enum WireSamples {
    /// Each as it travels, and whether it is a request.
    static let all: [(isRequest: Bool, bytes: [UInt8])] =
        requests.map { request in (true, encoded { request.encode(into: &$0) }) }
        + replies.map { reply in (false, encoded { reply.encode(into: &$0) }) }

    private static func encoded(_ encode: (inout ByteBuffer) -> Void) -> [UInt8] {
        var buffer = ByteBuffer()
        encode(&buffer)
        return Array(buffer.readableBytesView)
    }

    private static let requests: [PeerRequest] =
        [
            .item(.get, key: [107]), .item(.getAndTouch(expiry: Expiry(stored: 77)), key: [107]),
            .item(.store(.cas, flags: 5, expiry: Expiry(stored: 9), cas: 7, value: [1, 2, 3]), key: [107]),
            .item(.delete, key: [107]), .item(.arithmetic(.increment, delta: 4), key: [107]),
            .item(.meta(MetaCommand(.inspect), value: []), key: [107]),
            .call(
                VirtualKey(type: "t", method: "m", object: [111], arguments: [[], [49]]), data: [1],
                deadlineMilliseconds: 9),
            .fetch(key: Array("node:name".utf8), deadlineMilliseconds: 5, byJob: true), .map(map),
            .stage(
                StageRequest(
                    load: 7, frame: "f", format: .csv, header: ["a", "b"], firstLine: 3, skipsBadRows: true,
                    bytes: Array("1,2\n".utf8))),
        ] + ControlVerb.allCases.map { .control(verb: $0, argument: argument(of: $0)) }

    private static let run = Value.array([.string("n1"), .int(11)])
    private static let id = DefinitionID(run: 11, number: 1)

    private static func argument(of verb: ControlVerb) -> Value {
        switch verb {
        case .synchronize:
            .object([
                "run": .int(11), "to": .int(12), "since": .int(0), "until": .int(3), "heard": .int(2),
                "digest": .int(-1), "news": news.value,
            ])
        case .beginLoad: .object(["load": .int(7), "frame": .string("f"), "id": .string(id.description)])
        case .prepareLoad: .object(["load": .int(7), "others": .array([run])])
        case .decideLoad:
            .object([
                "load": .int(7), "commit": .bool(true), "frame": .string("f"), "id": .string(id.description),
                "counts": .array([.array([.string("n1"), .int(11), .int(40)])]),
            ])
        case .askLoad: .object(["load": .int(7), "gone": .array([run]), "milliseconds": .int(1_500)])
        case .createFrame: .object(["name": .string("f"), "schema": .array([])])
        default: .object(["name": .string("f"), "query": .int(1), "key": .bytes([107]), "value": .bytes([1])])
        }
    }

    private static var news: RegistryNews {
        var registry = Registry(run: 11)
        guard let frame = registry.createFrame("f", schema: Value.array([]).messagePack) else {
            return registry.everything
        }
        registry.acknowledge(100, retired: 20, frame: frame, node: "n1", incarnation: 11)
        registry.retain(frame, seconds: 60, column: "t")
        registry.defineJob("j", source: [10])
        registry.defineJob("j", source: [11])
        return registry.everything
    }

    private static var map: MapRequest {
        var map = MapRequest(
            query: 1, name: "j", source: Array("x = 1".utf8), parameters: .object(["a": .int(-1)]),
            deadlineMilliseconds: 2, now: 5)
        map.include = [7, .max]
        map.counts = [FrameAcknowledgements(frame: "f", id: DefinitionID(run: 11, number: 1), rows: ["n1": [11: 100]])]
        return map
    }

    private static let replies: [PeerReply] = [
        .item(.miss), .item(.number(5)), .item(.value(flags: 1, cas: 2, bytes: [3])),
        .item(.failed(Failure(.timeout, "late"))), .item(.meta(MetaAnswer())), .value(.object(["x": .bytes([255])])),
        .packed(Value.int(7).messagePack),
        .failure(Failure(.scriptError, "no", about: [.named("n1")], stack: ["a.lua:1"])),
        .mapped(answer), .mapFailed(Failure(.miss, "none"), LoggedLines(["said"], dropped: 3)),
    ]

    private static var answer: MapAnswer {
        var answer = MapAnswer(
            incarnation: 11, shards: 2, partial: [1, 2], rowsScanned: 3, chunksScanned: 4, chunksPruned: 5,
            milliseconds: 1.25,
            frames: [FrameAcknowledgements(frame: "f", id: id, rows: ["n1": [11: 2]], retired: ["n1": [11: 1]])])
        answer.rowsEver = 9
        answer.loads = ["f": FrameLoads.Seen(committed: [1: 600_000], pending: [2], namedMilliseconds: 7)]
        answer.inexactness = Inexactness(isTruncated: true, relativeErrors: ["d": 0.025])
        answer.log = LoggedLines(["said"], dropped: 1)
        return answer
    }
}
