// A session without a channel: feeds it bytes in pieces of any size and gathers what it answers; and a router whose
// answers come when the test says so.

import Engine
import Gather
import Server
import Synchronization

final class SessionHarness<Routing: CommandRouter> {
    let session: MemcachedSession<Routing>
    let statistics: MemcachedStatistics
    let wakes = Counter()
    private(set) var received: [UInt8] = []

    final class Counter: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func raise() { count.withLock { $0 += 1 } }
    }

    /// `sharing`: another connection of the same server.
    init(
        _ router: Routing, _ configuration: SessionConfiguration = SessionConfiguration(),
        sharing other: SessionHarness? = nil, from client: ClientAddress = .local
    ) {
        statistics = other?.statistics ?? MemcachedStatistics()
        let wakes = wakes
        session = MemcachedSession(
            router: router, links: nil, configuration: configuration, statistics: statistics,
            counters: statistics.makeCounters(), client: client, wake: { wakes.raise() })
    }

    var text: String { String(decoding: received, as: UTF8.self) }

    /// Sends in pieces of `pieceBytes`, taking and sending on what is answered after each.
    func send(_ text: String, pieceBytes: Int = .max, now: UInt32 = 1_000_000_000) {
        send(Array(text.utf8), pieceBytes: pieceBytes, now: now)
    }

    func send(_ bytes: [UInt8], pieceBytes: Int = .max, now: UInt32 = 1_000_000_000) {
        var at = 0
        while at < bytes.count {
            let end = at + min(pieceBytes, bytes.count - at)
            bytes[at..<end].withUnsafeBytes { session.receive($0, now: now) }
            drain(now: now)
            at = end
        }
    }

    func collect(now: UInt32 = 1_000_000_000) {
        session.collect(now: now)
        drain(now: now)
    }

    func takeOnce() {
        let output = session.output
        for piece in [output.head, output.value, output.tail] { received.append(contentsOf: piece) }
        session.didSend(output.count)
    }

    private func drain(now: UInt32) {
        repeat {
            takeOnce()
            if session.verdict == .stalled { session.resume(now: now) }
        } while session.outputBytes > 0
    }

    /// The same as it came.
    func answerBytes() -> [UInt8] {
        defer { received = [] }
        return received
    }

    /// What was received since the last call.
    func answer() -> String {
        defer { received = [] }
        return text
    }
}

/// Keys that start with `r:` are another node's, with `v:` a method's; answers come when `answer` is called, or at once. With
/// `r:gone` they are those of a node that is known to be gone.
final class ScriptedRouter: CommandRouter {
    struct Asked: Sendable {
        let key: [UInt8]
        let item: (ItemCommand, ItemCompletion)?
        let call: (VirtualKey, [UInt8]?, CallCompletion)?
        var flush: (UInt32, CallCompletion)?
    }

    let engine = Engine(EngineConfiguration(memoryBytes: 8 << 20))
    let answersAtOnce: Bool
    private let asked = Mutex<[Asked]>([])

    init(answersAtOnce: Bool = false) { self.answersAtOnce = answersAtOnce }

    func route(_ key: UnsafeRawBufferPointer, virtual: Bool) -> Router.Route {
        if key.starts(with: Array("r:".utf8)) { return .remote(Place(node: 0, partition: 0)) }
        if virtual, key.starts(with: Array("v:".utf8)), let virtualKey = VirtualKey(key) { return .virtual(virtualKey) }
        return .local(hash: keyHash(key))
    }

    var stores: ItemStores { engine.stores }

    /// How many messages were sent to other nodes.
    let messages = Mutex(0)

    func send(_ batch: ForwardBatch, links: PeerLinks?) {
        messages.withLock { $0 += 1 }
        batch.forEachItem { index, command, key in forward(command, key: key) { batch.answer(index, $0) } }
    }

    private func forward(_ command: ItemCommand, key: [UInt8], completion: @escaping ItemCompletion) {
        if key.starts(with: Array("r:gone".utf8)) { return completion(.failed(Failure(.unreachable, "gone"))) }
        if answersAtOnce { return completion(.value(flags: 0, cas: 7, bytes: key)) }
        asked.withLock { $0.append(Asked(key: key, item: (command, completion), call: nil)) }
    }

    func call(_ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, completion: @escaping CallCompletion) {
        if answersAtOnce { return completion(.success(.bytes(key.object))) }
        asked.withLock { $0.append(Asked(key: key.object, item: nil, call: (key, data, completion))) }
    }

    func flushAll(delaySeconds: UInt32, now: UInt32, links: PeerLinks?, completion: @escaping CallCompletion) {
        for store in stores.all { store.flushAll(at: now &+ delaySeconds, now: now) }
        if answersAtOnce { return completion(.success(.null)) }
        asked.withLock { $0.append(Asked(key: [], item: nil, call: nil, flush: (delaySeconds, completion))) }
    }

    /// Keys of the type `v:service` are services.
    func holdsBack(_ key: VirtualKey) -> Bool { key.method == "service" }

    var pending: [Asked] { asked.withLock { $0 } }

    /// Answers the request at `index` among those made so far.
    func answer(_ index: Int, _ outcome: ItemOutcome) { pending[index].item!.1(outcome) }
    func answer(_ index: Int, _ result: Result<Value, Failure>) {
        let asked = pending[index]
        if let flush = asked.flush { flush.1(result) } else { asked.call!.2(result) }
    }
}
