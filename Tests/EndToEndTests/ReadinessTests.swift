// A node and whoever runs it: where its options come from, when it is ready, how it ends, and with which exit code.

import Foundation
import Testing

@Suite(.serialized) struct ReadinessTests {
    /// What a service manager would hear: datagrams to a socket, with a path or an abstract name.
    private final class Manager {
        let place: String
        private let descriptor: Int32

        init(isAbstract: Bool) throws {
            let name = FileManager.default.temporaryDirectory.path + "/cacheismo-\(UUID().uuidString.prefix(8))"
            place = isAbstract ? "@\(name)" : name
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { path in
                path.copyBytes(from: Array(place.utf8))
                if isAbstract { path[0] = 0 }
            }
            let bytes = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + place.utf8.count + (isAbstract ? 0 : 1)
            let outcome = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(bytes)) }
            }
            guard outcome == 0 else { throw TestFailure("can't bind \(place)") }
            var timeout = timeval(tv_sec: 60, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        }

        deinit {
            close(descriptor)
            unlink(place)
        }

        func next() -> String {
            var bytes = [UInt8](repeating: 0, count: 4_096)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        }
    }

    private func serve(
        _ arguments: [String], _ environment: [String: String] = [:], errors: FileHandle? = nil
    ) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Place.binary)
        process.arguments = ["serve", "--exit-on-stdin-close"] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = Pipe()
        process.standardError = errors ?? FileHandle.nullDevice
        try process.run()
        return process
    }

    private func end(_ process: Process, _ number: Int32 = SIGTERM) -> Int32 {
        kill(process.processIdentifier, number)
        for _ in 0..<3_000 where process.isRunning { usleep(10_000) }
        kill(process.processIdentifier, SIGKILL)
        process.awaitEnd()
        return process.terminationStatus
    }

    @Test(
        "a service manager is told when the node is ready, reads its files again, and ends",
        arguments: [false, true])
    func notifications(isAbstract: Bool) throws {
        let manager = try Manager(isAbstract: isAbstract)
        let port = try TestCluster.freePorts(1)[0]
        let process = try serve(["-p", "\(port)"], ["NOTIFY_SOCKET": manager.place])
        let ready = manager.next()
        #expect(ready.hasPrefix("READY=1\nSTATUS=") && ready.contains("127.0.0.1:\(port)"), "\(ready)")
        #expect(try Wire(port: port).get("k") == nil)
        kill(process.processIdentifier, SIGHUP)
        let reloading = manager.next()
        #expect(reloading.firstMatch(of: #/^RELOADING=1\nMONOTONIC_USEC=[0-9]+\n$/#) != nil, "\(reloading)")
        #expect(manager.next().hasPrefix("READY=1\n"))
        #expect(end(process) == 0)
        #expect(manager.next().hasPrefix("STOPPING=1\n"))
    }

    @Test("a node of a cluster is ready once it has heard from its peers, or has waited for them a second")
    func peers() throws {
        let manager = try Manager(isAbstract: true)
        let ports = try TestCluster.freePorts(2)
        let process = try serve(
            ["--name", "n1", "--peers", "n1=127.0.0.1:\(ports[0]),n2=127.0.0.1:\(ports[1])"],
            ["NOTIFY_SOCKET": manager.place])
        #expect(manager.next().hasPrefix("READY=1\n"))
        #expect(end(process) == 0)
    }

    @Test("a manager that can't be told is refused where its place can't be, and is otherwise no reason not to serve")
    func deafManagers() throws {
        let file = try TemporaryFile("")
        let refused = try serve(
            ["-p", "1"], ["NOTIFY_SOCKET": "nowhere"], errors: try FileHandle(forWritingTo: file.url))
        refused.awaitEnd()
        #expect(refused.terminationStatus == 1)
        #expect(try file.text.contains("NOTIFY_SOCKET=nowhere"))
        let port = try TestCluster.freePorts(1)[0]
        let process = try serve(["-p", "\(port)"], ["NOTIFY_SOCKET": "/nonexistent/socket"])
        for _ in 0..<3_000 where (try? Wire(port: port)) == nil { usleep(10_000) }
        #expect(try Wire(port: port).get("k") == nil)
        #expect(end(process) == 0)
    }

    @Test("told to end, a node accepts no more, answers what it was asked, and is no longer ready meanwhile")
    func draining() throws {
        let ports = try TestCluster.freePorts(2)
        let node = TestNode(name: "node", port: ports[0], arguments: ["--http", "127.0.0.1:\(ports[1])"])
        try node.start()
        func health() throws -> String {
            try Finished.run(
                "/usr/bin/curl", ["-s", "-w", " %{http_code}", "http://127.0.0.1:\(ports[1])/health/ready"]
            ).output
        }
        #expect(try health().hasSuffix(" 200"))
        let job = try Wire(port: ports[0], timeoutSeconds: 60)
        let idle = try Wire(port: ports[0], timeoutSeconds: 60)
        #expect(try idle.set("k", "v") == "STORED\r\n")
        let half = try Wire(port: ports[0], timeoutSeconds: 60)
        // The value is still on its way when the signal comes; what was asked before it is answered.
        #expect(try half.exchange("get k\r\nset slow 0 0 10\r\n12345", until: "END\r\n").contains("VALUE k"))
        #expect(try job.set("more", "1") == "STORED\r\n")
        node.signal(SIGTERM)
        for _ in 0..<3_000 where (try? Wire(port: ports[0])) != nil { usleep(10_000) }
        #expect(throws: TestFailure.self) { try Wire(port: ports[0]) }
        let answer = try health()
        #expect(answer.hasSuffix(" 503") && answer.contains("about to end"), "\(answer)")
        #expect(
            try half.exchange("67890\r\nget slow\r\n", until: "END\r\n")
                == "STORED\r\nVALUE slow 0 10\r\n1234567890\r\nEND\r\n")
        #expect(throws: TestFailure.self) { try idle.exchange("", until: "\r\n") }
        node.stop()
        #expect(node.exitCode == 0)
    }

    @Test("a job that is under way when the node is told to end is answered, over memcached and over HTTP")
    func jobsUnderWay() throws {
        let ports = try TestCluster.freePorts(2)
        let node = TestNode(name: "node", port: ports[0], arguments: ["--http", "127.0.0.1:\(ports[1])"])
        try node.start()
        let lua =
            "function run(p) local since = os.clock() while os.clock() - since < 0.5 do end return 'it is ' .. 'done' end"
        let wire = try Wire(port: ports[0], timeoutSeconds: 60)
        #expect(try wire.set("job:define:long", lua) == "STORED\r\n")
        let file = try TemporaryFile("")
        let asking = Process()
        asking.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        asking.arguments = [
            "-s", "-m", "60", "-H", "Content-Type: application/x-lua", "--data-binary", lua, "-o", file.path,
            "http://127.0.0.1:\(ports[1])/v1/runs?wait=30s",
        ]
        try asking.run()
        // `version` is answered before the job is: what is behind it has come by then.
        #expect(try wire.exchange("version\r\nget job:run:long\r\n", until: "\r\n").hasPrefix("VERSION"))
        // Both have begun; on a busy machine they may be over by then, too.
        func runs() throws -> Int {
            let told = try Finished.run("/usr/bin/curl", ["-s", "http://127.0.0.1:\(ports[1])/v1/runs"]).json
            return (told?["runs"] as? [Any])?.count ?? 0
        }
        for _ in 0..<1_000 where try runs() < 2 { usleep(20_000) }
        node.signal(SIGTERM)
        #expect(try wire.exchange("", until: "END\r\n").contains("it is done"))
        asking.awaitEnd()
        #expect(asking.terminationStatus == 0)
        #expect(try file.text.contains("it is done"))
        node.stop()
        #expect(node.exitCode == 0)
    }

    @Test("a client that never sends the rest, or never reads, keeps a node no longer than five seconds")
    func stubbornClients() throws {
        let cluster = try TestCluster(nodes: 1)
        let port = cluster[0].port
        let half = try Wire(port: port)
        #expect(try half.exchange("version\r\nset k 0 0 1000\r\nx", until: "\r\n").hasPrefix("VERSION"))
        let start = ContinuousClock.now
        cluster[0].stop()
        // The limit, and what a busy machine adds to it; a process that had to be killed has another code.
        #expect(cluster[0].exitCode == 0 && ContinuousClock.now - start < .seconds(10))
        withExtendedLifetime(half) {}
    }

    @Test("file, variables and command line: the later one holds, as the node's settings show")
    func precedence() throws {
        let file = try TemporaryFile("# limits\n-m 11\nconn-limit = 111\nthreads = 1\n-o idle_timeout=60\n")
        let port = try TestCluster.freePorts(1)[0]
        let process = try serve(
            ["--config", file.path, "-p", "\(port)", "-c", "333"],
            ["CACHEISMO_CONN_LIMIT": "222", "CACHEISMO_MEMORY": "22"])
        for _ in 0..<3_000 where (try? Wire(port: port)) == nil { usleep(10_000) }
        let settings = try Wire(port: port).exchange("stats settings\r\n", until: "END\r\n")
        for line in ["maxbytes \(22 << 20)", "maxconns 333", "num_threads 1", "idle_timeout 60"] {
            #expect(settings.contains("STAT \(line)\r\n"), "\(line): \(settings)")
        }
        #expect(end(process) == 0)
    }

    @Test("serve --check says what is wrong, a line each, with code 64, and else that all can be used, with 0")
    func check() throws {
        let secret = try TemporaryFile("short\n")
        let file = try TemporaryFile("-m 64\nscripts = /nonexistent\ncluster-secret = \(secret.path)\n")
        for arguments in [["serve", "--check", "--config", file.path], ["--config", file.path]] {
            let run = try Finished.run(Place.binary, arguments)
            let lines = run.errors.split(separator: "\n")
            #expect(run.code == 64 && run.output == "" && lines.count == 2, "\(run)")
            #expect(run.errors.contains("cacheismo: \(file.path):2: /nonexistent"), "\(run)")
            #expect(run.errors.contains("cacheismo: \(file.path):3: --cluster-secret"), "\(run)")
        }
        let good = try TemporaryFile("-m 64\n-l 127.0.0.1\nhttp = 127.0.0.1:8211\n")
        let run = try Finished.run(Place.binary, ["serve", "--check", "--config", good.path])
        #expect(run.code == 0 && run.output == "the options can be used\n" && run.errors == "", "\(run)")
        for path in ["/nonexistent", "/etc", "/dev/zero"] {
            let run = try Finished.run(Place.binary, ["serve", "--check", "--config", path])
            #expect(
                run.code == 64 && run.errors.contains(path) && run.errors.split(separator: "\n").count == 1, "\(run)")
        }
    }
}
