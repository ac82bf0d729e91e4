// The list of peers: what is read from it, what is refused and how it says so, and who agrees with whom.

import Engine
import Gather
import Testing

@Suite struct TopologyTests {
    @Test("names, hosts, ports and weights are read, IPv6 in brackets too")
    func reads() throws {
        let topology = try Topology(
            peers: "n2=[fe80::1%eth0]:11212*20, n1=127.0.0.1:11211,cache-3.a=db.example.com:1*7", selfName: "n1")
        #expect(
            topology.nodes == [
                Node(name: "cache-3.a", host: "db.example.com", port: 1, weight: 7),
                Node(name: "n1", host: "127.0.0.1", port: 11211),
                Node(name: "n2", host: "fe80::1%eth0", port: 11212, weight: 20),
            ])
        #expect(topology.selfIndex == 1)
        #expect(topology.nodes.map(\.address) == ["db.example.com:1", "127.0.0.1:11211", "[fe80::1%eth0]:11212"])
        #expect(!topology.isAlone)
    }

    @Test("a mistake is refused in one line that names it")
    func refuses() {
        let mistakes = [
            ("", "peer '' is empty"),
            ("n1=a:1,", "peer '' is empty"),
            ("127.0.0.1:11211", "has no name"),
            ("=a:1", "has no proper name"),
            ("n 1=a:1", "has no proper name"),
            ("n1=a", "has no port"),
            ("n1=a:", "has no port"),
            ("n1=[::1]", "has no port"),
            ("n1=:1", "has no host"),
            ("n1=a/b:1", "has a host that is no name or address"),
            ("n1=a:0", "port that is no number from 1 to 65535"),
            ("n1=a:65536", "port that is no number from 1 to 65535"),
            ("n1=a:+1", "port that is no number from 1 to 65535"),
            ("n1=::1:11211", "has an IPv6 address without brackets"),
            ("n1=[::1:11211", "never closes it"),
            ("n1=[a]:1", "no IPv6 address in its brackets"),
            ("n1=[::1]11211", "has something after its brackets"),
            ("n1=a:1*0", "has a weight that is no number from 1 to 1000000"),
            ("n1=a:1*", "has a weight that is no number from 1 to 1000000"),
            ("n1=a:1*x", "has a weight that is no number from 1 to 1000000"),
            ("n1=a:1,n1=b:1", "two peers are named 'n1'"),
            ("n1=a:1,n2=b:1,n3=a:1", "peers 'n1' and 'n3' have the same address, a:1"),
            ("n1=a:1*1,n2=b:1*1000", "node 'n1' would own no key"),
        ]
        for (text, complaint) in mistakes {
            let message = self.complaint(text)
            #expect(message?.contains(complaint) == true, "'\(text)' answered \(message ?? "nothing")")
        }
        #expect(complaint("n1=a:1,n2=b:1", selfName: "n3")?.contains("'n3', is not among the peers (n1, n2)") == true)
        let tooMany = (0...1024).map { "n\($0)=h\($0):1" }.joined(separator: ",")
        #expect(complaint(tooMany)?.contains("1025 peers are more than") == true)
    }

    @Test("the order of the list changes nothing: nodes, owners and epoch are the same")
    func order() throws {
        let one = try Topology(peers: "n1=127.0.0.1:11211,n2=127.0.0.1:11212,n3=127.0.0.1:11213", selfName: "n3")
        let other = try Topology(peers: "n3=127.0.0.1:11213,n1=127.0.0.1:11211,n2=127.0.0.1:11212", selfName: "n1")
        #expect(one.nodes == other.nodes)
        #expect(one.epoch == other.epoch)
        #expect(one.selfIndex == 2 && other.selfIndex == 0)
        for key in RingVectors.keys { #expect(owner(of: key, in: one) == owner(of: key, in: other)) }
    }

    @Test("the epoch is the same in every process, and another when a name, an address or a weight changes")
    func epoch() throws {
        let epochs = try [
            "n1=a:1,n2=b:1", "n1=a:1,n2=b:2", "n1=a:1,n3=b:1", "n1=a:1,n2=c:1", "n1=a:1,n2=b:1*2", "n1=b:1,n2=a:1",
            "n1=a:1",
        ].map { try Topology(peers: $0).epoch }
        #expect(Set(epochs).count == epochs.count)
        #expect(epochs[0] == 0xF4F7_DCE3_F88D_C0FE)
    }

    @Test("owners are libmemcached's, but for one key in a hundred")
    func owners() throws {
        let topology = try Topology(peers: "n1=127.0.0.1:11211,n2=127.0.0.1:11212,n3=127.0.0.1:11213")
        let owners = RingVectors.keys.map { String(owner(of: $0, in: topology)) }.joined()
        let others = zip(owners, RingVectors.perKey[0].owners).filter { $0 != $1 }.count
        #expect(owners.count == RingVectors.perKey[0].owners.count && others <= owners.count / 100)
    }

    @Test("a node without peers owns every key")
    func alone() {
        let topology = Topology.alone(name: "only", host: "127.0.0.1", port: 11211)
        #expect(topology.isAlone && topology.selfIndex == 0)
        for key in RingVectors.keys { #expect(owner(of: key, in: topology) == 0) }
    }

    @Test("a node is found by its name or by its address")
    func index() throws {
        let topology = try Topology(peers: "n1=127.0.0.1:11211,n2=[::1]:11212")
        #expect(topology.selfIndex == nil)
        #expect(topology.index(of: "n2") == 1)
        #expect(topology.index(of: "127.0.0.1:11211") == 0)
        #expect(topology.index(of: "[::1]:11212") == 1)
        #expect(topology.index(of: "n3") == nil)
    }

    private func owner(of key: String, in topology: Topology) -> Int {
        Array(key.utf8).withUnsafeBytes { TopologyView(topology).place(of: $0).node }
    }

    /// What is said when `peers` is refused; nil when it is not.
    private func complaint(_ peers: String, selfName: String? = nil) -> String? {
        do throws(Failure) {
            _ = try Topology(peers: peers, selfName: selfName)
            return nil
        } catch {
            return error.message
        }
    }
}
