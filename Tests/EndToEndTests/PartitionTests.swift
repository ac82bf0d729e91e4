// A cut between two nodes that nobody is told of: in network namespaces, where this machine lets a test make them.

import Foundation
import Testing

@Suite(.serialized, .enabled(if: TwoHosts.areAllowed, "needs root and ip netns"))
struct PartitionTests {
    @Test("after a silent cut the first answer comes within two seconds of the heal, and nothing late is done")
    func cut() throws {
        let nodes = try TwoNodes(port: 21_710)
        // Counters that belong to the other host.
        let names = (0..<12).map { "c\($0)" }
        for name in names { #expect(try nodes.query("counter:new:\(name):0").code == 0) }
        try nodes.hosts.cut()
        var failed: [String] = []
        for name in names where try nodes.query("counter:add:\(name):1").code != 0 { failed.append(name) }
        #expect(!failed.isEmpty && failed.count < names.count)
        sleep(12)
        try nodes.hosts.heal()
        let healed = Date()
        while try nodes.query("counter:get:\(failed[0])").code != 0, Date().timeIntervalSince(healed) < 10 {
            usleep(20_000)
        }
        #expect(Date().timeIntervalSince(healed) < 4, "\(Date().timeIntervalSince(healed)) s")
        sleep(1)
        for name in names {
            #expect(try nodes.query("counter:get:\(name)").output == (failed.contains(name) ? "0\n" : "1\n"))
        }
        let log = try nodes.log(0)
        #expect(log.contains("peer n2") && log.contains("is lost") && log.contains("is back"), "\(log)")
    }
}
