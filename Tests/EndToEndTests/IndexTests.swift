// An index asked over the memcached port: the same answer from every node, an error when one is gone.

import Foundation
import Testing

@Suite(.serialized) struct IndexTests {
    @Test("quotas close to their limit are listed over all shards and nodes, and follow what happens to them")
    func quotas() throws {
        let cluster = try TestCluster(nodes: 3)
        let wires = try cluster.nodes.map { try Wire(port: $0.port) }
        for number in 0..<60 {
            #expect(try wires[number % 3].get("quota:new:q\(number):100:month") == "CREATED")
            guard number > 0 else { continue }
            #expect(try wires[(number + 1) % 3].get("quota:addandcheck:q\(number):\(number)") == "QUOTA_OK")
        }
        let top = #"[{"object":"q59","value":0.59},{"object":"q58","value":0.58},{"object":"q57","value":0.57}]"#
        for wire in wires {
            #expect(try wire.get("index:top:quota.getshare:3") == top)
            #expect(try wire.get("index:count:quota.getshare") == "60")
            #expect(try wire.get("index:list:") == #"["quota.getshare"]"#)
            let above = try #require(try wire.get("index:above:quota.getshare:0.5:1"))
            #expect(above == #"{"count":10,"objects":[{"object":"q59","value":0.59}]}"#)
        }
        #expect(try wires[0].get("quota:reset:q59") == "QUOTA_OK")
        #expect(try wires[1].get("quota:drop:q58") == "SUCCESS")
        #expect(try wires[2].get("index:top:quota.getshare:1") == #"[{"object":"q57","value":0.57}]"#)
        #expect(try wires[2].get("index:count:quota.getshare") == "59")
        // What one node has is a part.
        let parts = try wires.map { try #require(try $0.get("index:count:quota.getshare:here")) }
        #expect(Set(parts).count >= 1 && parts.allSatisfy { $0.hasPrefix(#"{"count":"#) })
        for wrong in ["index:top:quota.nothing", "index:top:quota.getshare:0", "index:above:quota.getshare:x"] {
            let answer = try wires[0].exchange("get \(wrong)\r\n", until: "\r\n")
            #expect(answer.hasPrefix("CLIENT_ERROR script_error "), "\(answer)")
        }
        cluster[2].stop()
        let answer = try wires[0].exchange("get index:count:quota.getshare\r\n", until: "\r\n")
        #expect(answer.hasPrefix("SERVER_ERROR unreachable n3"), "\(answer)")
    }
}
