// Tells the service manager how far the node is, as systemd's Type=notify awaits it: a datagram to the socket of NOTIFY_SOCKET.
//
// Unsafe: system calls on a raw descriptor and a socket address.

package import Engine
import Glibc

package struct ServiceNotifier: Sendable {
    /// What is told, in systemd's words.
    package enum State: Sendable {
        case ready(status: String)
        case reloading
        case stopping

        var text: String {
            switch self {
            case .ready(let status):
                // Each line is a word of its own.
                "READY=1\nSTATUS=\(status.split(separator: "\n").joined(separator: " "))\n"
            case .reloading: "RELOADING=1\nMONOTONIC_USEC=\(Self.monotonicMicroseconds)\n"
            case .stopping: "STOPPING=1\nSTATUS=answers what it was asked, then ends\n"
            }
        }

        private static var monotonicMicroseconds: Int {
            var time = timespec()
            clock_gettime(CLOCK_MONOTONIC, &time)
            return time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
        }
    }

    private let place: String
    private var address: sockaddr_un
    private let addressBytes: socklen_t

    /// `place`: a path, or an abstract name behind a `@`; what the variable says. Throws where nobody can be told there.
    package init(place: String) throws(Failure) {
        self.place = place
        address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = CommandLineBytes.bytes(of: place)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        let isAbstract = name.first == UInt8(ascii: "@")
        guard isAbstract || name.first == UInt8(ascii: "/"), name.count > 1, name.count < room else {
            throw Failure(
                .scriptError, "NOTIFY_SOCKET=\(place): a path, or a name behind an @, of fewer than \(room) bytes")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            path.copyBytes(from: name)
            // An abstract name begins with a 0, and has none at its end.
            if isAbstract { path[0] = 0 }
        }
        let head = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
        addressBytes = socklen_t(head + name.count + (isAbstract ? 0 : 1))
    }

    /// Does not wait: a manager that does not listen is told of in the error, and is no reason to end.
    package func tell(_ state: State) throws(Failure) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw failure() }
        defer { close(descriptor) }
        let bytes = Array(state.text.utf8)
        let sent = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, addressBytes)
            }
        }
        guard sent == bytes.count else { throw failure() }
    }

    private func failure() -> Failure {
        Failure(
            .unreachable,
            "can't tell the service manager at NOTIFY_SOCKET=\(place): \(String(cString: strerror(errno)))")
    }
}
