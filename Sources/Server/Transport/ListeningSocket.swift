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

    /// A socket that is there already is replaced, any other file is not. `mode`: its permissions.
    static func bind(path: String, mode: UInt32, backlog: Int) throws(ListenFailure) -> ListeningSocket {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else {
            throw ListenFailure(description: "can't listen on \(path): a path may have \(capacity - 1) bytes")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
        let descriptor = try open(AF_UNIX, place: path)
        try withUnsafePointer(to: &address) { pointer throws(ListenFailure) in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer throws(ListenFailure) in
                try listen(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_un>.size), backlog, place: path)
            }
        }
        chmod(path, mode_t(mode))
        return ListeningSocket(descriptor: descriptor, name: "unix:\(path)")
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

    /// Where it listens, as the kernel says.
    var address: SocketPlace? { SocketPlace(localOf: descriptor) }
}

/// One end of a connection, in words.
enum SocketPlace: CustomStringConvertible {
    case internet(host: String, port: Int)
    case path(String)

    init?(localOf descriptor: Int32) {
        var storage = sockaddr_storage()
        var count = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let outcome = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &count) }
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
