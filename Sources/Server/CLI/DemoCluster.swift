// Three nodes as child processes on loopback, which end with this process however it ends.

import Engine
import Gather
import Glibc

struct DemoCluster: Sendable {
    let addresses: [HostPort]
    /// Where each answers HTTP.
    let pages: [HostPort]
    private let processes: [ChildProcess]

    private static let nodes = 3
    private static let startMilliseconds = 10_000
    private static let firstPagePort = 8_211

    /// Starts the nodes on three ports in a row, the first three from `firstPort` on that are free, and waits until all answer.
    static func start(firstPort: Int) async throws(Failure) -> DemoCluster {
        let first = try freePorts(from: firstPort)
        if first != firstPort {
            print("Port \(firstPort) or one of the two after it is busy; taking \(first) to \(first + nodes - 1).")
        }
        let addresses = (0..<nodes).map { HostPort(host: "127.0.0.1", port: first + $0) }
        let firstPage = try freePorts(from: firstPagePort)
        let pages = (0..<nodes).map { HostPort(host: "127.0.0.1", port: firstPage + $0) }
        let peers = peers(at: addresses)
        var processes: [ChildProcess] = []
        for (index, address) in addresses.enumerated() {
            do {
                processes.append(
                    try ChildProcess(arguments: [
                        "serve", "--port", "\(address.port)", "--name", "n\(index + 1)", "--peers", peers,
                        "--memory", "256", "--http", "\(pages[index])", "--exit-on-stdin-close",
                    ]))
            } catch {
                for process in processes { process.stop() }
                throw error
            }
        }
        let cluster = DemoCluster(addresses: addresses, pages: pages, processes: processes)
        do { try await cluster.waitUntilUp() } catch {
            cluster.stop()
            throw error
        }
        print("Three nodes are up: \(peers)")
        return cluster
    }

    /// The text of `--peers` for nodes n1, n2 and so on.
    static func peers(at addresses: [HostPort]) -> String {
        addresses.enumerated().map { "n\($0.offset + 1)=\($0.element)" }.joined(separator: ",")
    }

    func stop() {
        for process in processes { process.terminate() }
        for process in processes { process.stop() }
    }

    private func waitUntilUp() async throws(Failure) {
        let deadline = SystemEnvironment().deadline(afterMilliseconds: Self.startMilliseconds)
        for (index, address) in addresses.enumerated() {
            let client = NodeClient(address)
            defer { client.close() }
            while true {
                do throws(Failure) {
                    _ = try await client.control(.topology, .null, timeoutMilliseconds: 500)
                    break
                } catch {
                    guard !SystemEnvironment().hasPassed(deadline), processes[index].isRunning else {
                        throw error.saying("node n\(index + 1) at \(address) did not start: \(error.message)")
                    }
                }
                try? await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    private static func freePorts(from first: Int) throws(Failure) -> Int {
        for candidate in stride(from: first, through: min(first + 3_000, 65_535 - nodes), by: 100)
        where (0..<nodes).allSatisfy({ isFree(candidate + $0) }) {
            return candidate
        }
        throw Failure(.unreachable, "no three free ports in a row from \(first) on; stop what has them")
    }

    private static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var reuse: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
