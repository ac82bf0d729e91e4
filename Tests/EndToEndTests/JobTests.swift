// Jobs over the flights on real nodes: exact answers, the same from every node, and honest when a node is gone.

import Foundation
import Synchronization
import Testing

@Suite(.serialized) struct JobTests {
    static let jobs = [
        "delays_by_carrier", "busiest_destinations", "delays_by_month_and_origin", "delay_percentiles", "worst_hours",
        "route_league", "aircraft_miles", "on_time_by_month", "cancelled_by_weekday",
    ]

    /// A job's table: what `job run` prints without its last line, the summary.
    private static func table(_ run: Finished) -> String {
        run.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast(2).joined(separator: "\n")
    }

    private static func expectation(_ job: String) throws -> String {
        let text = try String(contentsOfFile: Place.file("jobs/\(job).expect"), encoding: .utf8)
        return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.joined(separator: "\n")
    }

    @Test("each job answers as its .expect file says, with one node and with three, whichever is asked")
    func expectations() throws {
        for count in [1, 3] {
            let cluster = try TestCluster(nodes: count)
            try cluster.loadFlights(from: count - 1)
            for job in Self.jobs {
                let expected = try Self.expectation(job)
                for node in 0..<count {
                    let run = try cluster.run(["job", "run", "jobs/\(job).lua"], on: node)
                    #expect(run.code == 0, "\(run.errors)")
                    #expect(Self.table(run) == expected, "\(job) with \(count) nodes, asked on \(node)")
                    #expect(run.output.contains("336,776 of 336,776 rows"), "\(run.output)")
                    #expect(run.output.contains("\ncomplete: "), "\(run.output)")
                }
            }
        }
    }

    @Test("the job of the hottest keys adds up what all nodes were asked for")
    func topKeys() throws {
        let cluster = try TestCluster(nodes: 3)
        let text = try String(contentsOfFile: Place.file("jobs/top_keys.expect"), encoding: .utf8)
        // `# reads KEY COUNT` lines say what is read first, on all nodes in turn.
        for line in text.split(separator: "\n") where line.hasPrefix("# reads ") {
            let words = line.split(separator: " ")
            let count = try #require(Int(words[3]))
            #expect(try Wire(port: cluster[0].port).set(String(words[2]), "v") == "STORED\r\n")
            for index in 0..<count { #expect(try Wire(port: cluster[index % 3].port).get(String(words[2])) == "v") }
        }
        let run = try cluster.run(["job", "run", "jobs/top_keys.lua"], on: 1)
        #expect(run.code == 0, "\(run.errors)")
        #expect(Self.table(run) == (try Self.expectation("top_keys")))
    }

    @Test("the census of keys counts what all nodes hold", arguments: [1, 3])
    func keyCensus(nodes: Int) throws {
        let cluster = try TestCluster(nodes: nodes)
        let text = try String(contentsOfFile: Place.file("jobs/key_census.expect"), encoding: .utf8)
        // `# stores COUNT PREFIX BYTES SECONDS`: so many keys, numbered from 1000, with values of so many bytes.
        for line in text.split(separator: "\n") where line.hasPrefix("# stores ") {
            let words = line.split(separator: " ").map(String.init)
            let (count, bytes) = (try #require(Int(words[2])), try #require(Int(words[4])))
            let value = String(repeating: "v", count: bytes)
            let requests = (0..<count).map { "set \(words[3])\(1000 + $0) 0 \(words[5]) \(bytes)\r\n\(value)\r\n" }
            let answer = try Wire(port: cluster[0].port).exchange(
                requests.joined() + "version\r\n", until: "VERSION 1.6.45\r\n")
            #expect(answer.components(separatedBy: "STORED\r\n").count == count + 1)
        }
        let run = try cluster.run(["job", "run", "jobs/key_census.lua"], on: nodes - 1)
        #expect(run.code == 0, "\(run.errors)")
        #expect(Self.table(run) == (try Self.expectation("key_census")))
    }

    @Test("the job of quotas finds those near their limit on all nodes", arguments: [1, 3])
    func quotas(nodes: Int) throws {
        let cluster = try TestCluster(nodes: nodes)
        let text = try String(contentsOfFile: Place.file("jobs/quotas_near_limit.expect"), encoding: .utf8)
        for line in text.split(separator: "\n") where line.hasPrefix("# calls ") {
            let words = line.split(separator: " ")
            #expect(try Wire(port: cluster[0].port).get(String(words[2])) == String(words[3]), "\(line)")
        }
        let run = try cluster.run(["job", "run", "jobs/quotas_near_limit.lua"], on: nodes - 1)
        #expect(run.code == 0, "\(run.errors)")
        #expect(Self.table(run) == (try Self.expectation("quotas_near_limit")))
    }

    @Test("a job is explained without being run, and listed once it was")
    func explain() throws {
        let cluster = try TestCluster(nodes: 3)
        try cluster.loadFlights()
        let explained = try cluster.run(["job", "explain", "jobs/worst_hours.lua"], on: 1)
        #expect(explained.code == 0, "\(explained.errors)")
        for words in ["frame flights", "group origin", "336,776 rows in", "of 6 shards", "kernel p95: values counted"] {
            #expect(explained.output.contains(words), "\(words): \(explained.output)")
        }
        #expect(try cluster.run(["job", "list"], on: 0).output == "no job is under way or just over\n")
        #expect(try cluster.run(["job", "run", "jobs/worst_hours.lua"], on: 1).code == 0)
        let list = try cluster.run(["job", "list"], on: 0).output.split(separator: "\n")
        #expect(list.count == 3 && list[2].contains("worst_hours") && list[2].contains("n2"), "\(list)")
        let id = String(list[2].split(separator: " ")[0])
        #expect(try cluster.run(["job", "show", id], on: 2).output.contains("complete"))
        let cancel = try cluster.run(["job", "cancel", id], on: 2)
        #expect(cancel.code == 1 && cancel.errors.hasPrefix("cacheismo: no node knows a job"), "\(cancel.errors)")
    }

    @Test("a job defined and run over the memcached port answers its envelope, on another node than it was defined on")
    func overMemcached() throws {
        let cluster = try TestCluster(nodes: 3)
        try cluster.loadFlights()
        let source = try String(contentsOfFile: Place.file("jobs/delays_by_carrier.lua"), encoding: .utf8)
        #expect(try Wire(port: cluster[0].port).set("job:define:delays", source) == "STORED\r\n")
        for node in cluster.nodes {
            let answer = try #require(try Wire(port: node.port).get("job:run:delays:limit=1:min_delay=15"))
            let envelope = try #require(try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any])
            #expect(envelope["status"] as? String == "complete", "\(answer)")
            let rows = try #require(envelope["result"] as? [[String: Any]])
            #expect(rows.count == 1)
            #expect(rows[0]["carrier"] as? String != nil)
        }
        let broken = try Wire(port: cluster[0].port).set("job:define:bad", "function map(")
        #expect(broken.hasPrefix("CLIENT_ERROR script_error bad:1:"), "\(broken)")
        let unknown = try Wire(port: cluster[0].port).get("job:run:nosuch")
        #expect(unknown?.hasPrefix("CLIENT_ERROR script_error there is no job 'nosuch'") == true, "\(unknown ?? "nil")")
    }

    @Test("what is sent right behind a service's request, on the same connection, sees what it did")
    func pipelinedServices() throws {
        let cluster = try TestCluster(nodes: 3)
        let job = "function map(s) return s:frame('events'):count() end"
        let row = "{\"a\":1}"
        let requests = """
            set job:define:n 0 0 \(job.utf8.count)\r\n\(job)\r\nset frame:append:events 0 0 \(row.utf8.count)\r\n\(row)\r
            get job:list\r\nget frame:list\r\nget job:run:n\r\nversion\r\n
            """
        let answer = try Wire(port: cluster[1].port).exchange(requests, until: "VERSION 1.6.45\r\n")
        for words in ["STORED\r\nSTORED\r\n", "[\"n\"]", "[\"events\"]", "[{\"count\":1}]"] {
            #expect(answer.contains(words), "\(words): \(answer)")
        }
    }

    @Test("rows appended over the memcached port are in the next answer")
    func append() throws {
        let cluster = try TestCluster(nodes: 3)
        let job = try TemporaryFile(
            """
            function map(shard) return shard:frame("events"):group("kind"):agg{ n = count(), total = sum("amount") } end
            """, suffix: ".lua")
        for round in 1...4 {
            let rows = "{\"kind\":\"a\",\"amount\":\(round)}\n{\"kind\":\"b\",\"amount\":null}"
            #expect(try Wire(port: cluster[round % 3].port).set("frame:append:events", rows) == "STORED\r\n")
            let run = try cluster.run(["job", "run", job.path, "--json"], on: (round + 1) % 3)
            let result = try #require(run.json?["result"] as? [[String: Any]], "\(run.output)\(run.errors)")
            #expect(result.map { $0["n"] as? Int } == [round, round])
            #expect(result[0]["total"] as? Int == round * (round + 1) / 2)
            #expect(result[1]["total"] is NSNull)
        }
        let misfit = try Wire(port: cluster[0].port).set("frame:append:events", "{\"kind\":\"a\",\"amount\":\"many\"}")
        #expect(misfit.hasPrefix("CLIENT_ERROR wrong_type line 1:"), "\(misfit)")
    }

    @Test(
        "with a node gone a job fails by its name within the deadline, or answers a labelled part; keys go on working")
    func deadNode() throws {
        let cluster = try TestCluster(nodes: 3)
        try cluster.loadFlights()
        cluster[1].stop(SIGKILL)
        let whole = try cluster.run(["job", "run", "jobs/delays_by_carrier.lua", "--timeout", "3000"])
        #expect(whole.code == 1)
        #expect(whole.output == "")
        #expect(whole.errors.hasPrefix("cacheismo: unreachable: n2 "), "\(whole.errors)")
        #expect(whole.errors.split(separator: "\n").count == 1)
        #expect(whole.seconds < 4)
        let part = try cluster.run(["job", "run", "jobs/delays_by_carrier.lua", "--require", "any", "--json"], on: 2)
        #expect(part.code == 1)
        #expect(part.json?["status"] as? String == "partial", "\(part.output)\(part.errors)")
        let rows = try #require(part.json?["rows"] as? [String: Int])
        #expect(rows["expected"] == 336_776)
        #expect(try #require(rows["scanned"]) < 336_776)
        try checkKeysWithoutSecondNode(cluster)
        // Back, and empty: its rows are missed, not forgotten.
        try cluster[1].start()
        for node in [1, 0, 2] {
            let run = try cluster.run(["job", "run", "jobs/delays_by_carrier.lua"], on: node)
            #expect(run.code == 1)
            #expect(
                run.errors.hasPrefix("cacheismo: incomplete_data: n2 was restarted and lost "),
                "\(run.output)\(run.errors)")
        }
    }

    private func checkKeysWithoutSecondNode(_ cluster: TestCluster) throws {
        var stored = 0
        var refused = 0
        for index in 0..<60 {
            let answer = try Wire(port: cluster[index % 2 == 0 ? 0 : 2].port).set("k\(index)", "v")
            if answer == "STORED\r\n" {
                stored += 1
                #expect(try Wire(port: cluster[2].port).get("k\(index)") == "v")
            } else {
                refused += 1
                #expect(answer.hasPrefix("SERVER_ERROR unreachable n2 "), "\(answer)")
            }
        }
        #expect(stored > 0 && refused > 0)
    }

    @Test("a node that hangs costs a job its deadline and a key its time-out, not more; then both fail at once")
    func hangingNode() throws {
        let cluster = try TestCluster(nodes: 3)
        try cluster.loadFlights()
        cluster[2].signal(SIGSTOP)
        let run = try cluster.run(["job", "run", "jobs/busiest_destinations.lua", "--timeout", "1500"])
        #expect(run.code == 1)
        let isTold = ["timeout", "unreachable"].contains { run.errors.hasPrefix("cacheismo: \($0): n3") }
        #expect(isTold, "\(run.errors)")
        #expect(run.seconds < 3)
        var timeouts = 0
        for index in 0..<12 {
            let started = Date()
            let answer = try Wire(port: cluster[0].port).get("k\(index)")
            #expect(Date().timeIntervalSince(started) < 2.5)
            if let answer {
                let isTold = ["timeout", "unreachable"].contains { answer.hasPrefix("SERVER_ERROR \($0) n3 ") }
                #expect(isTold, "\(answer)")
                timeouts += 1
            }
        }
        #expect((1..<12).contains(timeouts))
        cluster[2].signal(SIGCONT)
    }

    @Test("job:active tells of a run on another node, job:cancel ends it, job:source gives the Lua back")
    func runsByKeys() throws {
        let cluster = try TestCluster(nodes: 2)
        let (first, second) = (try Wire(port: cluster[0].port), try Wire(port: cluster[1].port))
        let source = "function run(p) while true do end end"
        #expect(try first.set("job:define:endless", source) == "STORED\r\n")
        func soon(_ what: () throws -> Bool) rethrows -> Bool {
            for _ in 0..<1_200 {
                if try what() { return true }
                usleep(50_000)
            }
            return false
        }
        #expect(try soon { try second.get("job:source:endless") == source })
        let port = cluster[0].port
        let answer = Mutex<String?>(nil)
        let isOver = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            let text = try? Wire(port: port).get("job:run:endless:timeout=600000")
            answer.withLock { $0 = text ?? "no answer" }
            isOver.signal()
        }
        var active: [[String: Any]] = []
        #expect(
            try soon {
                let text = try second.get("job:active") ?? ""
                active = (try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]) ?? []
                return !active.isEmpty
            })
        #expect(active.first?["node"] as? String == "n1" && active.first?["job"] as? String == "endless", "\(active)")
        let id = try #require(active.first?["id"] as? String)
        // A node that is busy may need to be told more than once.
        #expect(try soon { ["CANCELLED", "DONE"].contains(try second.get("job:cancel:\(id)")) })
        #expect(isOver.wait(timeout: .now() + 600) == .success)
        let envelope = answer.withLock { $0 } ?? ""
        #expect(envelope.contains("\"cancelled\"") || envelope.contains("\"budget_exceeded\""), "\(envelope)")
        #expect(try second.get("job:cancel:\(id)") == "DONE")
        #expect(try soon { try second.get("job:active") == "[]" })
    }
}
