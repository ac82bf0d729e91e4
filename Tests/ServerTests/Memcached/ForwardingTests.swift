// What two nodes ask each other, over real connections between their serving loops: answers, and what they allocate.

import CAllocations
import Dispatch
import Engine
import Gather
import Glibc
import Logging
import NIOPosix
import Server
import Synchronization
import Testing

/// Two nodes in this process, a serving loop each.
private final class TwoNodes {
    let loops = [ServingLoop(index: 0), ServingLoop(index: 1)]
    let nodes: [ClusterNode]
    let listeners: [MemcachedListener<Router>]
    let ports: [Int]

    init(shards: Int = 1) throws {
        let ports = NodesInProcess.freePorts(2)
        let peers = "n1=127.0.0.1:\(ports[0]),n2=127.0.0.1:\(ports[1])"
        let group = MultiThreadedEventLoopGroup.singleton
        var nodes: [ClusterNode] = []
        for at in 0..<2 {
            let cluster = Cluster(
                EngineConfiguration(shards: shards, memoryBytes: 64 << 20),
                topology: try Topology(peers: peers, selfName: "n\(at + 1)"), loops: [NIOPeerLoop(group.next())],
                serving: [loops[at]], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            nodes.append(ClusterNode(cluster: cluster))
        }
        let loops = loops
        listeners = nodes.enumerated().map { at, node in
            var configuration = MemcachedListenerConfiguration()
            configuration.port = ports[at]
            return MemcachedListener(
                configuration, router: node.router, loops: [loops[at]], links: { node.cluster.links(forLoop: $0) },
                upgrade: PeerAdmission.upgrade(to: node, group: group))
        }
        self.nodes = nodes
        self.ports = ports
        for listener in listeners { try listener.start() }
    }

    func end() {
        for listener in listeners { listener.stop() }
        for node in nodes { node.cluster.close() }
        for loop in loops { loop.shutdown() }
    }

    /// Names that a prefix and a number make, whose owner is the second node.
    func remote(_ count: Int, prefix: String = "key:") -> [String] {
        var names: [String] = []
        var number = 0
        while names.count < count {
            let name = "\(prefix)\(number)"
            number += 1
            let owner = Array(name.utf8).withUnsafeBytes { nodes[0].cluster.view.place(of: $0).node }
            if owner == 1 { names.append(name) }
        }
        return names
    }

    /// What a loop's thread has allocated so far.
    func allocations(_ at: Int) -> UInt {
        let answer = Answer()
        loops[at].execute { answer.value.withLock { $0 = allocations_of_this_thread() } }
        while true {
            if let count = answer.value.withLock({ $0 }) { return count }
            usleep(100)
        }
    }

    private final class Answer: Sendable { let value = Mutex<UInt?>(nil) }
}

@Suite(.serialized) struct ForwardingTests {
    @Test("all that is asked of one node of another's keys is answered in order, whatever its kind and size")
    func answers() throws {
        let two = try TwoNodes(shards: 2)
        defer { two.end() }
        let client = LoopbackClient(port: two.ports[0])
        let keys = two.remote(40)
        let large = String(repeating: "x", count: 300_000)
        var requests = ""
        var expected = ""
        for (at, key) in keys.enumerated() {
            let value = at % 10 == 9 ? large : "v\(at)"
            requests += "set \(key) \(at) 0 \(value.utf8.count)\r\n\(value)\r\nget \(key)\r\nversion\r\n"
            expected += "STORED\r\nVALUE \(key) \(at) \(value.utf8.count)\r\n\(value)\r\nEND\r\nVERSION 1.6.45\r\n"
        }
        requests += "incr \(keys[0]) 1\r\ndelete \(keys[1])\r\ndelete \(keys[1]) noreply\r\nget \(keys[1])\r\n"
        expected += "CLIENT_ERROR cannot increment or decrement non-numeric value\r\nDELETED\r\nEND\r\n"
        requests += "mg \(keys[2]) v k\r\nmg none v q\r\nmn\r\nadd \(keys[1]) 0 0 1\r\n7\r\nincr \(keys[1]) 3\r\n"
        expected += "VA 2 k\(keys[2])\r\nv2\r\nMN\r\nSTORED\r\n10\r\n"
        let objects = two.remote(3, prefix: "o")
        for object in objects {
            requests += "get map:get:\(object):f\r\nget map:new:\(object)\r\nset map:put:\(object):f 0 0 1\r\nw\r\n"
            requests += "get map:get:\(object):f\r\n"
            expected += "VALUE map:get:\(object):f 0 16\r\nERROR_CACHE_MISS\r\nEND\r\n"
            expected += "VALUE map:new:\(object) 0 7\r\nCREATED\r\nEND\r\nSTORED\r\n"
            expected += "VALUE map:get:\(object):f 0 5\r\nf : w\r\nEND\r\n"
        }
        requests += "flush_all\r\nget \(keys[0])\r\n"
        expected += "OK\r\nEND\r\n"
        for _ in 0..<2 {
            client.send(requests)
            let received = client.receive(expected.utf8.count)
            if received != expected {
                let at = zip(received.utf8, expected.utf8).prefix { $0 == $1 }.count
                Issue.record("\(received.dropFirst(max(0, at - 60)).prefix(200)) instead of the answer")
            }
        }
    }

    @Test("what is held back for the answers of a node leaves without them, where the node hangs")
    func hanging() throws {
        let two = try TwoNodes()
        defer { two.end() }
        let remote = two.remote(1)[0]
        let own = (0..<1_000).lazy.map { "own:\($0)" }.first { name in
            Array(name.utf8).withUnsafeBytes { two.nodes[0].cluster.view.place(of: $0).node } == 0
        }
        let key = try #require(own)
        let client = LoopbackClient(port: two.ports[0])
        client.send("set \(key) 0 0 1\r\nx\r\nset \(remote) 0 0 1\r\ny\r\n")
        #expect(client.receive(16) == "STORED\r\nSTORED\r\n")
        let gate = DispatchSemaphore(value: 0)
        two.loops[1].execute { gate.wait() }
        defer { gate.signal() }
        // The answers behind the first one wait for a node that gives none; the first does not.
        client.send("get \(key)\r\nget \(remote)\r\nversion\r\n")
        let first = "VALUE \(key) 0 1\r\nx\r\nEND\r\n"
        #expect(client.receive(first.utf8.count) == first)
        // Nor do others' answers.
        let other = LoopbackClient(port: two.ports[0])
        other.send("get \(key)\r\n")
        #expect(other.receive(first.utf8.count) == first)
    }

    /// Only what was optimized allocates as little as it has to.
    private static var isOptimized: Bool {
        #if DEBUG
            false
        #else
            true
        #endif
    }

    @Test(
        "a forwarded command allocates nothing at its owner, and one thing where it was asked: the rest is a turn's",
        .enabled(if: isOptimized))
    func allocations() throws {
        let two = try TwoNodes()
        defer { two.end() }
        let client = LoopbackClient(port: two.ports[0])
        let keys = two.remote(100)
        let value = String(repeating: "v", count: 100)
        for key in keys {
            client.send("set \(key) 0 0 100\r\n\(value)\r\n")
            #expect(client.receive(8) == "STORED\r\n")
        }
        func perTurn(_ requests: String, _ answer: String) -> [Double] {
            let rounds = 300
            func exchange() {
                for _ in 0..<rounds {
                    client.send(requests)
                    let received = client.receive(answer.utf8.count)
                    if received != answer { Issue.record("\(received.prefix(200)) came instead of the answer") }
                }
            }
            exchange()
            let before = [0, 1].map(two.allocations)
            exchange()
            return [0, 1].map { Double(two.allocations($0) - before[$0]) / Double(rounds) }
        }
        func check(_ what: String, one: (String, String), many: (String, String), count: Double) {
            let single = perTurn(one.0, one.1)
            let all = perTurn(many.0, many.1)
            for node in 0..<2 {
                // A turn may come in two pieces, and buffers double: far less than one for each command.
                let most = node == 0 ? 1.25 * count : count / 4
                #expect(all[node] - single[node] < most, "\(what), node \(node): \(single[node]), \(all[node])")
                #expect(single[node] < 40, "\(what), node \(node): \(single[node])")
            }
        }
        let values = keys.map { "VALUE \($0) 0 100\r\n\(value)\r\n" }
        let gets = (keys.prefix(32).map { "get \($0)\r\n" }, values.prefix(32).map { $0 + "END\r\n" })
        check("gets", one: (gets.0[0], gets.1[0]), many: (gets.0.joined(), gets.1.joined()), count: 32)
        let sets = keys.prefix(32).map { "set \($0) 0 0 100\r\n\(value)\r\n" }
        check(
            "sets", one: (sets[0], "STORED\r\n"),
            many: (sets.joined(), String(repeating: "STORED\r\n", count: 32)), count: 32)
        check(
            "keys of a retrieval", one: ("get \(keys[0])\r\n", values[0] + "END\r\n"),
            many: ("get \(keys.joined(separator: " "))\r\n", values.joined() + "END\r\n"), count: 100)
    }
}
