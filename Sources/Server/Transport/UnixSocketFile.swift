// The file of a unix socket: takes the place of one that nobody listens on, and takes away only its own.
//
// Unsafe: system calls on raw descriptors and socket addresses.

import Glibc

struct UnixSocketFile: Sendable {
    let path: String
    private let device: dev_t
    private let number: ino_t

    /// What was bound just now.
    init?(bound path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        self.path = path
        (device, number) = (status.st_dev, status.st_ino)
    }

    /// Whether the file is still the one that was bound: another server may have replaced it.
    var isOwn: Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_dev == device && status.st_ino == number
    }

    func remove() { if isOwn { unlink(path) } }

    func give(to user: uid_t, _ group: gid_t) { if isOwn { _ = lchown(path, user, group) } }

    /// Removes the socket of a server that is gone. Refuses one that somebody listens on, and everything else.
    static func makeWay(_ path: String) throws(ListenFailure) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ListenFailure(
                description: "can't listen on \(path): there is a file that is no socket; choose another path")
        }
        guard let found = UnixSocketFile(bound: path) else { return }
        guard isAbandoned(path) else {
            throw ListenFailure(
                description: "can't listen on \(path): a server listens there; stop it or choose another path")
        }
        found.remove()
    }

    /// Only a socket that nobody listens on refuses a connection; one that is full, or not ours to use, is somebody's.
    private static func isAbandoned(_ path: String) -> Bool {
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0, var address = address(path) else { return false }
        defer { close(probe) }
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(probe, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        return outcome != 0 && errno == ECONNREFUSED
    }

    static let pathBytesMax = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    /// Nil where the path is longer than an address has room for.
    static func address(_ path: String) -> sockaddr_un? {
        guard path.utf8.count <= pathBytesMax, !path.isEmpty else { return nil }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return address
    }
}
