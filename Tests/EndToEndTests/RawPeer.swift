// A peer connection spoken by hand, byte for byte: what a stranger could send.

import Foundation

/// Frames of the peer protocol over a socket of its own.
final class RawPeer {
    private let descriptor: Int32
    private var received: [UInt8] = []

    /// Says hello as `line`, and goes through the handshake as a command would where `greets`.
    init(port: Int, line: String, greets: Bool = true, login: String = "", password: String = "") throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = Wire.loopback(port: port)
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else { throw TestFailure("can't connect to \(port)") }
        send(Array("\(line)\r\n".utf8))
        guard greets else { return }
        sendLink([240] + Self.bytes(1, 8) + [0] + [16] + [UInt8](repeating: 9, count: 16))
        let challenge = try frame()
        guard challenge.id == 0, challenge.message.first == 241 else {
            throw TestFailure("refused: \(Self.text(challenge.message))")
        }
        sendLink(
            [242, 0] + Self.bytes(Self.now, 8) + [UInt8(login.utf8.count)] + Array(login.utf8)
                + [UInt8(password.utf8.count)] + Array(password.utf8))
        let welcome = try frame()
        guard welcome.message == [243] else { throw TestFailure("refused: \(Self.text(welcome.message))") }
    }

    deinit { close(descriptor) }

    static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

    static func bytes(_ number: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
    }

    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes.filter { $0 >= 32 }, as: UTF8.self) }

    /// False when the other side takes no more, or is gone.
    @discardableResult
    func send(_ bytes: [UInt8], waits: Bool = true) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let flags = Int32(MSG_NOSIGNAL) | (waits ? 0 : Int32(MSG_DONTWAIT))
            let sent = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, flags) }
            guard sent > 0 else { return false }
            rest = rest.dropFirst(sent)
        }
        return true
    }

    func sendLink(_ message: [UInt8]) { send(Self.bytes(UInt64(message.count + 8), 4) + Self.bytes(0, 8) + message) }

    /// A request's frame, stamped `ago` milliseconds in the past.
    static func request(
        _ id: UInt64, _ message: [UInt8], left: UInt64 = 10_000, ago: UInt64 = 0
    ) -> [UInt8] {
        bytes(UInt64(message.count + 28), 4) + bytes(id, 8) + bytes(now - ago * 1_000_000, 8) + bytes(left, 4)
            + bytes(0, 8) + message
    }

    static func fetch(_ key: String) -> [UInt8] {
        [3] + bytes(UInt64(key.utf8.count), 4) + Array(key.utf8) + bytes(10_000, 4) + [0]
    }

    static func control(_ verb: UInt8, _ value: [UInt8]) -> [UInt8] {
        [6, verb] + bytes(UInt64(value.count), 4) + value
    }

    /// The next frame that is no ping.
    func frame() throws -> (id: UInt64, message: [UInt8]) {
        while true {
            let header = try read(12)
            let length = header[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
            let id = header[4...].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let message = try read(length - 8)
            if id == 0, message.first == 244 {
                sendLink([245] + message[1...8] + Self.bytes(Self.now, 8))
                continue
            }
            return (id, message)
        }
    }

    /// The answer to one request, as text.
    func ask(_ message: [UInt8], left: UInt64 = 10_000, ago: UInt64 = 0) throws -> String {
        send(Self.request(1, message, left: left, ago: ago))
        return Self.text(try frame().message)
    }

    private func read(_ count: Int) throws -> [UInt8] {
        var piece = [UInt8](repeating: 0, count: 65_536)
        while received.count < count {
            let got = recv(descriptor, &piece, piece.count, 0)
            guard got > 0 else { throw TestFailure("the connection ended") }
            received += piece[..<got]
        }
        defer { received.removeFirst(count) }
        return Array(received[..<count])
    }
}
