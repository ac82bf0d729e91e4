// Roles: what includes what, lists of them, the table of what needs which, who has which before a login, and logins that fail.

import Coordination
import Engine
import Gather
import Testing

@Suite struct RolesTests {
    // MARK: Roles

    @Test("write and script include read, admin is everything, flush stands alone")
    func inclusion() {
        let expected: [Role: Set<Role>] = [
            .read: [.read], .write: [.write, .read], .flush: [.flush], .script: [.script, .read],
            .admin: Set(Role.allCases),
        ]
        for role in Role.allCases {
            #expect(Set(Role.allCases.filter { Roles(role).includes($0) }) == expected[role], "\(role)")
        }
        #expect(Roles(.admin) == .all && Roles.all.description == "read, write, flush, script, admin")
        #expect(Roles.asMemcached.description == "read, write, flush" && Roles([]).description == "none")
    }

    @Test("a list is words with commas; what is none is told in one line")
    func lists() throws {
        #expect(try Roles(list: "write,flush") == .asMemcached)
        #expect(try Roles(list: "read,write,flush,script") != .all)
        #expect(try Roles(list: "admin") == .all)
        for text in ["", "read,", "read, write", "reader", "READ", ",", "read;write"] {
            let failure = #expect(throws: Failure.self) { try Roles(list: text) }
            #expect(failure?.message.contains("there are read, write, flush, script, admin") == true, "'\(text)'")
        }
    }

    @Test("before a login: nothing where passwords are asked for, else all on this machine, and elsewhere what is open")
    func open() {
        for openRoles in [Roles(), Roles(.read), .asMemcached, .all] {
            let open = OpenAccess(openRoles: openRoles)
            #expect(open.roles(isLocal: true) == .all && open.roles(isLocal: false) == openRoles)
            let closed = OpenAccess(asksForPassword: true, openRoles: openRoles)
            #expect(closed.roles(isLocal: true).isEmpty && closed.roles(isLocal: false).isEmpty)
        }
    }

    @Test("what is on this machine: loopback in both families, and unix sockets")
    func addresses() {
        for host in ["", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            #expect(ClientAddress(host: host).isLocal, "'\(host)'")
        }
        for host in ["10.0.0.1", "192.168.1.127", "fe80::1", "::2", "::ffff:10.0.0.1", "an unknown address"] {
            #expect(!ClientAddress(host: host).isLocal, "'\(host)'")
        }
    }

    // MARK: The table

    private static let needs: [ClientAction: Role] = [
        .lookAtCluster: .read, .readItem: .read, .callReadonly: .read, .describe: .read, .runDefinedMap: .read,
        .changeItem: .write, .callMethod: .write, .appendRows: .write, .runFreeForm: .write,
        .flush: .flush,
        .defineJob: .script, .dropJob: .script, .sendLua: .script,
        .alterFrame: .admin, .cancelRun: .admin, .tuneNode: .admin, .watchOthers: .admin, .shutDown: .admin,
    ]

    @Test(
        "each thing that clients do needs the role that is promised, and is refused to all without it",
        arguments: Role.allCases)
    func table(role: Role) {
        for action in ClientAction.allCases {
            let need = Self.needs[action]
            #expect(action.role == need && (need != nil) == (action != .touchNothing), "\(action)")
            let refusal = Roles(role).refusal(of: action, "it")
            #expect((refusal == nil) == (need.map { Roles(role).includes($0) } ?? true), "\(role) \(action)")
            guard let refusal, let need else { continue }
            #expect(refusal.reason == .notAllowed && refusal.fault == .caller)
            let line = "not allowed: it needs the role \(need.rawValue); you have \(Roles(role).description)"
            #expect(refusal.message == line)
        }
    }

    // MARK: Virtual keys

    private static let services: [(key: String, needs: Role)] =
        FrameService.Method.allCases.map { method in
            let needs: Role =
                switch method {
                case .append: .write
                case .info, .describe, .list: .read
                case .drop, .retain: .admin
                }
            return ("frame:\(method.rawValue):x", needs)
        }
        + JobService.Method.allCases.map { method in
            let needs: Role =
                switch method {
                case .define, .drop: .script
                case .run, .list, .source, .active: .read
                case .cancel: .admin
                }
            return ("job:\(method.rawValue):x", needs)
        }
        + NodeService.Method.allCases.map { ("node:\($0.rawValue):", .read) }
        + ClusterService.Method.allCases.map { ("cluster:\($0.rawValue):", .read) }
        + ObjectService.Method.allCases.map { ("object:\($0.rawValue):set", .read) }
        + IndexService.Method.allCases.map { ("index:\($0.rawValue):x", .read) }

    private static func refusal(_ node: ClusterNode, _ key: String, _ role: Role) -> Failure? {
        node.router.refusal(of: Array(key.utf8), plain: .changeItem, Roles(role))
    }

    @Test("each method of each service needs its role", arguments: Role.allCases)
    func services(role: Role) {
        let node = loneNode()
        for (key, needs) in Self.services {
            #expect((Self.refusal(node, key, role) == nil) == Roles(role).includes(needs), "\(role) \(key)")
        }
    }

    @Test(
        "of each type, methods that only read need read, all others and every type's drop need write",
        arguments: Role.allCases)
    func types(role: Role) {
        let node = loneNode()
        for (name, type) in node.router.engine.objectTypes.types {
            for method in Array(type.methods) + CommonVerb.allCases.map(\.rawValue) {
                let isVerb = !type.methods.contains(method)
                let reads = isVerb ? method == "ttl" : type.readonly.contains(method)
                let isAllowed = Self.refusal(node, "\(name):\(method):o", role) == nil
                #expect(isAllowed == Roles(role).includes(reads ? .read : .write), "\(role) \(name):\(method)")
            }
            #expect((Self.refusal(node, "\(name):no_such:o", role) == nil) == Roles(role).includes(.read))
        }
        #expect((Self.refusal(node, "plain", role) == nil) == Roles(role).includes(.write))
    }

    // MARK: Control messages

    private static func needs(_ verb: ControlVerb) -> Role? {
        switch verb {
        case .topology, .status, .activity, .whereabouts, .listJobs, .jobProgress, .describeJob: .read
        case .store, .createFrame, .beginLoad, .commitLoad, .abortLoad: .write
        case .runJob, .explainJob: .script
        case .cancelJob: .admin
        case .synchronize, .frameStatistics, .flush, .dropFrame, .prepareLoad, .decideLoad, .askLoad, .report: nil
        }
    }

    @Test("each message of a command needs its role, and a node's is for none of them", arguments: Role.allCases)
    func messages(role: Role) async {
        let node = loneNode()
        for verb in ControlVerb.allCases {
            var argument = Value.null
            if verb == .store { argument = .object(["key": .string("k"), "value": .string("v")]) }
            let reply = await node.ask(
                .control(verb: verb, argument: argument), PeerConnection(.client, roles: Roles(role)))
            var isRefused = false
            if case .failure(let failure) = reply { isRefused = failure.reason == .notAllowed }
            guard let needs = Self.needs(verb) else {
                #expect(reply == .failure(PeerRequest.notForClients), "\(verb)")
                continue
            }
            #expect(isRefused == !Roles(role).includes(needs), "\(role) \(verb)")
        }
        let stage = PeerRequest.stage(
            StageRequest(load: 1, frame: "f", format: .csv, firstLine: 1, skipsBadRows: false, bytes: []))
        #expect((node.refusal(of: stage, Roles(role)) == nil) == Roles(role).includes(.write))
        for (key, needs) in Self.services + [("k", .read), ("map:get:m:k", .read), ("map:put:m:k:v", .write)] {
            let fetch = PeerRequest.fetch(key: Array(key.utf8), deadlineMilliseconds: 1, byJob: false)
            #expect((node.refusal(of: fetch, Roles(role)) == nil) == Roles(role).includes(needs), "\(role) \(key)")
        }
    }

    // MARK: Jobs

    private static let free = Array(
        "function run(p) return getFromServer('n', p.key) end job.params = { key = 'k' }".utf8)
    private static let map = Array(
        "function map(shard, p) return shard:keys('') and 1 end function reduce(a, b) return a + b end".utf8)

    @Test("a run(p) needs write, and asks for what whoever has it run may ask for")
    func freeForm() async {
        let node = loneNode()
        func error(_ roles: Roles, key: String) async -> Failure? {
            var request = JobRequest(name: "f", source: Self.free, parameters: ["key": .string(key)])
            request.roles = roles
            return await node.jobs.run(request, router: node.router).error
        }
        let refused = await error([Roles(.script)], key: "k")
        #expect(refused?.reason == .notAllowed && refused?.message.contains("needs the role write") == true)
        #expect(await error([Roles(.script), Roles(.write)], key: "node:name:") == nil)
        let dropped = await error([Roles(.script), Roles(.write)], key: "frame:drop:f")
        #expect(dropped?.reason == .notAllowed, "\(String(describing: dropped))")
        #expect(await error(.all, key: "frame:drop:f")?.reason != .notAllowed)
    }

    @Test("a command may run what is defined with read, and needs script for any other Lua")
    func defined() async {
        let node = loneNode()
        node.cluster.changeRegistry { $0.defineJob("f", source: Self.map) }
        let reader = PeerConnection(.client, roles: Roles(.read))
        func isRefused(_ name: String, _ source: [UInt8]) async -> Bool {
            let reply = await node.ask(
                .control(verb: .explainJob, argument: JobRequest(name: name, source: source).value), reader)
            guard case .failure(let failure) = reply else { return false }
            return failure.reason == .notAllowed
        }
        #expect(await !isRefused("f", Self.map))
        #expect(await isRefused("f", Self.map + Array(" ".utf8)))
        #expect(await isRefused("g", Self.map))
    }

    // MARK: Logins that fail

    private static func at(_ milliseconds: Int) -> Instant {
        Instant(nanoseconds: 1).adding(milliseconds: milliseconds)
    }

    @Test(
        "after three failures within a minute answers come later and later, up to two seconds; a minute later at once")
    func delays() {
        var failures = LoginFailures()
        let expected = [0, 0, 0, 100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]
        for (number, delay) in expected.enumerated() {
            let now = Self.at(number * 100)
            #expect(failures.delayMilliseconds(of: "a", now: now) == delay, "attempt \(number)")
            #expect(failures.delayMilliseconds(of: "b", now: now) == 0)
            _ = failures.failed("a", now: now)
        }
        #expect(failures.delayMilliseconds(of: "a", now: Self.at(59_000)) == 2_000)
        #expect(failures.delayMilliseconds(of: "a", now: Self.at(61_001)) == 0)
        // One each half a minute is no more than two within a minute.
        var slow = LoginFailures()
        for number in 0..<20 {
            #expect(slow.delayMilliseconds(of: "a", now: Self.at(number * 30_000)) == 0)
            _ = slow.failed("a", now: Self.at(number * 30_000))
        }
    }

    @Test("a line is due at most once a second and address, and says how many there were")
    func lines() {
        var failures = LoginFailures()
        let steps: [(milliseconds: Int, address: String, said: Int?)] = [
            (0, "a", 1), (1, "a", nil), (2, "b", 1), (999, "a", nil), (1_000, "a", 3), (1_500, "a", nil),
            (5_000, "a", 2), (5_001, "b", 1),
        ]
        for (milliseconds, address, said) in steps {
            #expect(failures.failed(address, now: Self.at(milliseconds)) == said, "\(milliseconds) \(address)")
        }
    }

    @Test("of more addresses than it remembers the one that failed least recently goes")
    func bounded() {
        var failures = LoginFailures()
        for _ in 0..<4 { _ = failures.failed("first", now: Self.at(0)) }
        for number in 1..<LoginFailures.addressesMax { _ = failures.failed("\(number)", now: Self.at(1)) }
        #expect(failures.delayMilliseconds(of: "first", now: Self.at(2)) > 0)
        _ = failures.failed("first", now: Self.at(2))
        _ = failures.failed("one more", now: Self.at(3))
        #expect(failures.addressCount == LoginFailures.addressesMax)
        #expect(failures.delayMilliseconds(of: "first", now: Self.at(4)) > 0)
    }
}
