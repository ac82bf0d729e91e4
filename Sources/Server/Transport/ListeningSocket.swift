// Sockets that listen: bound to an address or a path, and the errors of that in words.
//
// Unsafe: system calls on raw descriptors and socket addresses.

import Glibc

/// Why a listener could not start: one line for people.
package struct ListenFailure: Error, CustomStringConvertible {
    package let description: String
}

/// A bound, listening, non-blocking socket. Whoever has it closes it.
struct ListeningSocket {
    let descriptor: Int32
    /// For `stats conns`: `tcp:host:port` or `unix:path`.
    let name: String
    /// Of a unix socket.
    var file: UnixSocketFile?

    /// `port` 0 lets the system choose.
    static func bind(host: String, port: Int, backlog: Int) throws(ListenFailure) -> ListeningSocket {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0, let address = found else {
            throw ListenFailure(description: "can't listen on \(host):\(port): there is no such address")
        }
        defer { freeaddrinfo(found) }
        let info = address.pointee
        let descriptor = try open(info.ai_family, place: "\(host):\(port)")
        // Connections inherit all of these.
        set(descriptor, SOL_SOCKET, SO_REUSEADDR)
        set(descriptor, SOL_SOCKET, SO_KEEPALIVE)
        set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY)
        if info.ai_family == AF_INET6 { set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
        try listen(descriptor, info.ai_addr, info.ai_addrlen, backlog, place: "\(host):\(port)")
        return ListeningSocket(descriptor: descriptor, name: "tcp:\(host):\(port)")
    }

    /// The socket of a server that is gone is replaced; see `UnixSocketFile`. `mode`: its permissions, from the first moment
    /// that anybody can connect.
    static func bind(path: String, mode: UInt32, backlog: Int) throws(ListenFailure) -> ListeningSocket {
        guard var address = UnixSocketFile.address(path) else {
            throw ListenFailure(
                description: path.isEmpty
                    ? "can't listen on a unix socket without a path"
                    : "can't listen on \(path): a path may have \(UnixSocketFile.pathBytesMax) bytes")
        }
        try UnixSocketFile.makeWay(path)
        let descriptor = try open(AF_UNIX, place: path)
        // The file gets the socket's own permissions, less the process's mask, and all of them before anybody is let in.
        fchmod(descriptor, mode_t(mode))
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        let file = outcome == 0 ? UnixSocketFile(bound: path) : nil
        guard let file, chmod(path, mode_t(mode)) == 0, Glibc.listen(descriptor, Int32(clamping: backlog)) == 0 else {
            let code = errno
            file?.remove()
            close(descriptor)
            throw ListenFailure(description: explanation(ofPath: code, path))
        }
        return ListeningSocket(descriptor: descriptor, name: "unix:\(path)", file: file)
    }

    private static func open(_ family: Int32, place: String) throws(ListenFailure) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, kind, 0)
        guard descriptor >= 0 else { throw ListenFailure(description: explanation(errno, place)) }
        return descriptor
    }

    private static func listen(
        _ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ count: socklen_t, _ backlog: Int, place: String
    ) throws(ListenFailure) {
        guard Glibc.bind(descriptor, address, count) == 0, Glibc.listen(descriptor, Int32(clamping: backlog)) == 0
        else {
            let code = errno
            close(descriptor)
            throw ListenFailure(description: explanation(code, place))
        }
    }

    private static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32) {
        var one: Int32 = 1
        setsockopt(descriptor, level, option, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func explanation(_ code: Int32, _ place: String) -> String {
        switch code {
        case EADDRINUSE:
            "can't listen on \(place): it is in use; stop what listens there or choose another port"
        case EACCES: "can't listen on \(place): permission denied; ports below 1024 are for root"
        case EADDRNOTAVAIL: "can't listen on \(place): this machine has no such address"
        default: "can't listen on \(place): \(String(cString: strerror(code)))"
        }
    }

    private static func explanation(ofPath code: Int32, _ path: String) -> String {
        switch code {
        case EACCES, EPERM, EROFS: "can't listen on \(path): its folder can't be written; choose another path"
        case ENOENT, ENOTDIR: "can't listen on \(path): there is no such folder"
        default: explanation(code, path)
        }
    }

    /// Where it listens, as the kernel says.
    var address: SocketPlace? { SocketPlace(localOf: descriptor) }
}

/// One end of a connection, in words.
enum SocketPlace: CustomStringConvertible {
    case internet(host: String, port: Int)
    case path(String)

    init?(localOf descriptor: Int32) { self.init(of: descriptor, getsockname) }
    init?(remoteOf descriptor: Int32) { self.init(of: descriptor, getpeername) }

    private init?(
        of descriptor: Int32,
        _ name: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) {
        var storage = sockaddr_storage()
        var count = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let outcome = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { name(descriptor, $0, &count) }
        }
        guard outcome == 0 else { return nil }
        self.init(storage)
    }

    /// A unix client has no name: its path is empty.
    init?(_ storage: sockaddr_storage) {
        var storage = storage
        switch Int32(storage.ss_family) {
        case AF_UNIX:
            self = withUnsafeBytes(of: &storage) { bytes in
                let path = bytes.dropFirst(MemoryLayout<sa_family_t>.size).prefix { $0 != 0 }
                return .path(String(decoding: path, as: UTF8.self))
            }
        case AF_INET, AF_INET6:
            var host = [UInt8](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            let port = Self.render(&storage, into: &host)
            self = .internet(host: String(decoding: host.prefix { $0 != 0 }, as: UTF8.self), port: port)
        default: return nil
        }
    }

    private static func render(_ storage: inout sockaddr_storage, into host: inout [UInt8]) -> Int {
        let family = Int32(storage.ss_family)
        return withUnsafeBytes(of: &storage) { bytes in
            // The port follows the family in both; the address follows it, in the newer one after its flow label.
            let port = bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self).bigEndian
            host.withUnsafeMutableBytes {
                _ = inet_ntop(
                    family, bytes.baseAddress! + (family == AF_INET ? 4 : 8),
                    $0.baseAddress!.assumingMemoryBound(to: CChar.self), socklen_t($0.count))
            }
            return Int(port)
        }
    }

    /// As `stats conns` writes it.
    var description: String {
        switch self {
        case .internet(let host, let port): "tcp:\(host):\(port)"
        case .path(let path): "unix:\(path)"
        }
    }
}
