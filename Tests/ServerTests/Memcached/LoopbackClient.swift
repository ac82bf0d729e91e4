// A memcached client over a plain socket, for tests: sends text, receives it, ends politely or not.
//
// Unsafe: plain POSIX sockets.

import Glibc

/// A blocking client. Every wait ends after 20 seconds with what has come so far.
final class LoopbackClient {
    private let descriptor: Int32

    /// `receiveBufferBytes`: how much the kernel may take for a client that does not read; 0 for what it likes.
    init(port: Int, receiveBufferBytes: Int32 = 0) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if receiveBufferBytes > 0 {
            var bytes = receiveBufferBytes
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var timeout = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(outcome == 0, "can't connect")
    }

    init(path: String) {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        precondition(outcome == 0, "can't connect")
    }

    deinit { close(descriptor) }

    /// From now on, the end of this client is a reset: it vanishes in the middle of whatever was under way.
    func willVanish() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    /// No more will be sent; answers are still awaited.
    func endInput() { shutdown(descriptor, Int32(SHUT_WR)) }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        var at = 0
        while at < bytes.count {
            let sent = bytes[at...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { return }
            at += sent
        }
    }

    /// Sends what the connection takes without waiting; returns how much that was.
    func sendAtOnce(_ text: String) -> Int {
        let bytes = Array(text.utf8)
        return max(0, Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)))
    }

    /// Reads until `count` bytes have come, or the end.
    func receive(_ count: Int) -> String { String(decoding: receiveBytes(count), as: UTF8.self) }

    func receiveBytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var at = 0
        while at < count {
            let got = bytes[at...].withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            guard got > 0 else { break }
            at += got
        }
        return Array(bytes[..<at])
    }

    /// Whether the server has closed the connection, after what was received.
    var isAtEnd: Bool {
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, 0) <= 0
    }

    // MARK: Both directions at the same time

    struct Pace {
        /// Of the next piece that is sent.
        var pieceBytes: () -> Int
        /// Nothing is read before the server takes no more.
        var readsLate = false
        var endsInput = false
    }

    /// Sends all of it and reads meanwhile, until as many bytes have come as are expected, or the end.
    func exchange(_ bytes: [UInt8], _ pace: Pace, expectedBytes: Int) -> [UInt8] {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var at = 0
        var mayRead = !pace.readsLate
        while true {
            let sends = at < bytes.count
            if !sends { mayRead = true }
            if !sends, received.count >= expectedBytes { return received }
            var entry = pollfd(fd: descriptor, events: 0, revents: 0)
            if sends { entry.events |= Int16(POLLOUT) }
            if mayRead { entry.events |= Int16(POLLIN) }
            guard poll(&entry, 1, mayRead ? 20_000 : 50) > 0 else {
                if mayRead { return received }
                mayRead = true
                continue
            }
            if entry.revents & Int16(POLLIN) != 0 {
                let got = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                if got <= 0 { return received }
                received += buffer[..<got]
            }
            if sends, entry.revents & Int16(POLLOUT | POLLERR | POLLHUP) != 0 {
                let end = min(at + pace.pieceBytes(), bytes.count)
                let sent = bytes[at..<end].withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                }
                if sent > 0 { at += sent } else if errno != EAGAIN { at = bytes.count }
                if at == bytes.count, pace.endsInput { endInput() }
            }
        }
    }
}
