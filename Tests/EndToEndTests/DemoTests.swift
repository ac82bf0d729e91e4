// The demo, as a newcomer without a terminal sees it.

import Foundation
import Testing

@Suite(.serialized) struct DemoTests {
    @Test("the demo loads, answers, shows, ends by itself and leaves nothing running")
    func demo() throws {
        let port = try TestCluster.freePorts(1)[0]
        let run = try Finished.run(Place.binary, ["demo", "--port", "\(min(port, 60_000))"])
        #expect(run.code == 0, "\(run.errors)")
        for text in [
            "loaded 336,776 rows into flights, on 3 nodes", "F9       20.2155", "ORD    17,283",
            "get greeting  ->  hello from a memcached client", "QUOTA_EXCEEDED", "swcounter:getavg:latency  ->  40",
            "complete: ", "All nodes are stopped.",
        ] {
            #expect(run.output.contains(text), "\(text)")
        }
        let others = try Finished.run("/bin/sh", ["-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"])
        #expect(!others.output.contains("--name n1 --peers n1=127.0.0.1:\(min(port, 60_000))"))
    }
}
