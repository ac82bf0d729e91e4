// What each command of memcached's protocol does, and whether a client's roles allow it.
//
// Unsafe: keys are raw buffers into the input.

import Engine
import Gather

extension Request {
    /// What it does to a plain key, or else; a virtual key's method says that itself. Nil where its own line has to be read first.
    var action: ClientAction? {
        switch self {
        case .retrieval(let verb, _, _): verb.touches ? .changeItem : .readItem
        case .storage, .delete, .arithmetic, .touch: .changeItem
        case .meta: nil
        case .flushAll: .flush
        case .stats, .version: .lookAtCluster
        case .metaNoop, .quit: .touchNothing
        case .dump: .readItem
        case .verbosity, .acknowledged, .crawl, .allowCrawls, .memoryLimit, .frameMemoryLimit: .tuneNode
        case .watch: .watchOthers
        case .shutdown: .shutDown
        }
    }

    /// As the client wrote it.
    fileprivate var name: StaticString {
        switch self {
        case .retrieval(let verb, _, _):
            switch verb {
            case .get: "get"
            case .gets: "gets"
            case .gat: "gat"
            case .gats: "gats"
            }
        case .storage(let storage): storage.verb.name
        case .delete: "delete"
        case .arithmetic(let verb, _, _, _): verb == .increment ? "incr" : "decr"
        case .touch: "touch"
        case .flushAll: "flush_all"
        case .stats: "stats"
        case .verbosity: "verbosity"
        case .version: "version"
        case .meta(let verb): verb.name
        case .metaNoop: "mn"
        case .acknowledged: "what tunes the server"
        case .crawl, .allowCrawls, .dump: "lru_crawler"
        case .memoryLimit: "cache_memlimit"
        case .frameMemoryLimit: "frame_memlimit"
        case .watch: "watch"
        case .shutdown: "shutdown"
        case .quit: "quit"
        }
    }
}

extension MetaCommand {
    /// What it does to a plain key. A get that may win the right to replace an item changes it, as it does by T and by N.
    var action: ClientAction {
        let changing: MetaOptions = [.touches, .vivifies, .recaches, .recachesTouched]
        switch verb {
        case .get: return options.isDisjoint(with: changing) ? .readItem : .changeItem
        case .inspect: return .readItem
        case .set, .delete, .increment, .decrement: return .changeItem
        }
    }
}

/// Looks at each request of a client that may not do everything.
struct RequestRoles<Routing: CommandRouter> {
    private let context: SessionContext<Routing>

    init(_ context: SessionContext<Routing>) { self.context = context }

    struct Refused {
        let failure: Failure
        /// Of the data block that follows all the same.
        var blockBytes = 0
        var isSilent = false
    }

    /// Nil where the client may. Of several keys all have to be allowed, or none is looked up.
    func refusal(of request: Request, _ bytes: UnsafeRawBufferPointer) -> Refused? {
        switch request {
        case .retrieval(_, _, let keys):
            var words = WordCursor(
                line: UnsafeRawBufferPointer(rebasing: bytes[..<keys.upperBound]), at: keys.lowerBound)
            while let key = words.next() {
                if let failure = refusal(of: bytes, key, request) { return Refused(failure: failure) }
            }
            return nil
        case .storage(let storage):
            return refusal(of: bytes, storage.key, request).map {
                Refused(failure: $0, blockBytes: storage.valueBytes + 2, isSilent: storage.isSilent)
            }
        case .delete(let key, let isSilent), .arithmetic(_, let key, _, let isSilent), .touch(let key, _, let isSilent):
            return refusal(of: bytes, key, request).map { Refused(failure: $0, isSilent: isSilent) }
        // Told by `refusal(of:_:_:)` once its own line has been read.
        case .meta: return nil
        case .stats(let arguments):
            let action: ClientAction = changesCounting(bytes, arguments) ? .tuneNode : .lookAtCluster
            return context.roles.refusal(of: action, action == .tuneNode ? "stats reset, or detail on," : "stats")
                .map { Refused(failure: $0) }
        case .flushAll(_, let isSilent), .verbosity(let isSilent), .memoryLimit(_, let isSilent),
            .frameMemoryLimit(_, let isSilent):
            return refusal(of: request).map { Refused(failure: $0, isSilent: isSilent) }
        case .version, .metaNoop, .acknowledged, .crawl, .allowCrawls, .watch, .shutdown, .quit, .dump:
            return refusal(of: request).map { Refused(failure: $0) }
        }
    }

    /// The same of the binary protocol: why the client may not. `bytes` begin with the request, whose key is there.
    func refusal(of request: BinaryRequest, _ bytes: UnsafeRawBufferPointer) -> Failure? {
        let verb = request.verb
        switch verb {
        case .get, .touch, .getAndTouch, .set, .add, .replace, .append, .prepend, .delete, .increment, .decrement:
            return refusal(of: UnsafeRawBufferPointer(rebasing: bytes[request.key]), verb.action, verb.name)
        case .statistics:
            let action: ClientAction = changesCounting(bytes, request.key) ? .tuneNode : verb.action
            return context.roles.refusal(of: action, action == .tuneNode ? "stat reset, or detail on," : "stat")
        case .quit, .flush, .noop, .version, .listMechanisms, .authenticate, .authenticateFurther:
            return context.roles.refusal(of: verb.action, verb.name.description)
        }
    }

    private func refusal(of request: Request) -> Failure? {
        request.action.flatMap { context.roles.refusal(of: $0, request.name.description) }
    }

    private func refusal(of bytes: UnsafeRawBufferPointer, _ key: Range<Int>, _ request: Request) -> Failure? {
        refusal(of: UnsafeRawBufferPointer(rebasing: bytes[key]), request.action ?? .changeItem, request.name)
    }

    private func refusal(of key: UnsafeRawBufferPointer, _ plain: ClientAction, _ name: StaticString) -> Failure? {
        context.router.refusal(
            of: key, virtual: context.configuration.allowsVirtualKeys, plain: plain, name, context.roles)
    }

    /// Of a meta command, whose line has been read.
    func refusal(of verb: MetaVerb, _ command: MetaCommand, _ key: UnsafeRawBufferPointer) -> Failure? {
        refusal(of: key, command.action, verb.name)
    }

    /// Whether a `stats` does more than to tell.
    private func changesCounting(_ bytes: UnsafeRawBufferPointer, _ arguments: Range<Int>) -> Bool {
        let line = UnsafeRawBufferPointer(rebasing: bytes[arguments])
        var words = WordCursor(line: line, at: 0)
        guard let topic = words.next().map({ UnsafeRawBufferPointer(rebasing: line[$0]) }) else { return false }
        if isWord(topic, "reset") { return true }
        guard isWord(topic, "detail"), let detail = words.next() else { return false }
        return !isWord(UnsafeRawBufferPointer(rebasing: line[detail]), "dump")
    }
}

extension BinaryVerb {
    /// What it does to a plain key, or else.
    fileprivate var action: ClientAction {
        switch self {
        case .get: .readItem
        case .touch, .getAndTouch, .set, .add, .replace, .append, .prepend, .delete, .increment, .decrement: .changeItem
        case .flush: .flush
        case .statistics: .lookAtCluster
        case .quit, .noop, .version, .listMechanisms, .authenticate, .authenticateFurther: .touchNothing
        }
    }

    fileprivate var name: StaticString {
        switch self {
        case .get: "get"
        case .touch: "touch"
        case .getAndTouch: "gat"
        case .set: "set"
        case .add: "add"
        case .replace: "replace"
        case .append: "append"
        case .prepend: "prepend"
        case .delete: "delete"
        case .increment: "incr"
        case .decrement: "decr"
        case .quit: "quit"
        case .flush: "flush"
        case .noop: "noop"
        case .version: "version"
        case .statistics: "stat"
        case .listMechanisms, .authenticate, .authenticateFurther: "SASL"
        }
    }
}

extension StoreVerb {
    fileprivate var name: StaticString {
        switch self {
        case .set: "set"
        case .add: "add"
        case .replace: "replace"
        case .append: "append"
        case .prepend: "prepend"
        case .cas: "cas"
        }
    }
}

extension MetaVerb {
    fileprivate var name: StaticString {
        switch self {
        case .get: "mg"
        case .set: "ms"
        case .delete: "md"
        case .arithmetic: "ma"
        case .inspect: "me"
        }
    }
}
