// A peer connection on a serving loop: forwarded commands are read, sent and answered by the thread that serves clients.
//
// Unsafe: system calls on a raw descriptor; input is passed on where it lies in the loop's buffer.

import CLinux
import Gather
import Glibc
import NIOCore

/// Everything here happens on the loop's thread.
final class PeerSocket: LoopMember, PeerChannel, @unchecked Sendable {
    /// Reads of a peer that sends faster than it can be answered, before the others get their turn.
    private static let readsPerTurn = 4
    /// A buffer that grew beyond this is not kept, in bytes.
    private static let bufferBytesKept = 256 << 10

    private let serving: ServingLoop
    private var user: (any PeerChannelUser)?
    /// Called once the connection is made, or can't be: nil from then on, and for one that was accepted.
    private var made: ((PeerConnectFailure?) -> Void)?
    /// Called once, when the connection is gone.
    private var whenGone: (@Sendable () -> Void)?
    private var unsent = ByteBuffer()
    private(set) var isWritable = true
    private var reads = true
    /// There may be input that was not read yet: the kernel tells only once.
    private var inputWaits = false
    private var isDeferred = false
    private var hasEnded = false

    private let address: SocketPlace?

    private init(descriptor: Int32, loop: ServingLoop, address: SocketPlace?) {
        serving = loop
        self.address = address
        super.init(descriptor: descriptor)
    }

    /// Takes over a connection that was accepted, and what came on it; where the loop can't, it is closed.
    static func accepted(
        _ descriptor: Int32, remaining: [UInt8], loop: ServingLoop, whenGone: @escaping @Sendable () -> Void,
        user: (any PeerChannel) -> any PeerChannelUser
    ) {
        let socket = PeerSocket(descriptor: descriptor, loop: loop, address: SocketPlace(remoteOf: descriptor))
        guard socket.start() else {
            Glibc.close(descriptor)
            return whenGone()
        }
        socket.noticeLoss()
        socket.whenGone = whenGone
        let user = user(socket)
        socket.user = user
        remaining.withUnsafeBytes { if !$0.isEmpty { user.received($0) } }
    }

    /// Starts to connect. `made` is called once, later, with why it can't be made where that is so; not after `close`.
    static func connecting(
        to place: SocketAddressBytes, loop: ServingLoop, user: any PeerChannelUser,
        made: @escaping (PeerConnectFailure?) -> Void
    ) throws(PeerConnectFailure) -> PeerSocket {
        guard let descriptor = place.connect() else {
            throw PeerConnectFailure(String(cString: strerror(errno)).lowercased(), isSilence: false)
        }
        let socket = PeerSocket(descriptor: descriptor, loop: loop, address: place.place)
        guard socket.start() else {
            Glibc.close(descriptor)
            throw PeerConnectFailure("no room for another connection", isSilence: false)
        }
        socket.user = user
        socket.made = made
        return socket
    }

    private func start() -> Bool { serving.add(self, [.readable, .writable, .inputEnded, .once]) }

    private func noticeLoss() {
        guard case .internet? = address else { return }
        var one: CInt = 1
        setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<CInt>.size))
        for (level, option, value) in PeerTransport.lossOptions {
            var value = value
            setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size))
        }
    }

    // MARK: The user's

    var loop: any PeerLoop { serving }

    var isLoopback: Bool {
        guard case .internet(let host, _)? = address else { return address != nil }
        return PeerTransport.isLoopback(address: host)
    }

    var host: String {
        guard case .internet(let host, _)? = address else { return "" }
        return host
    }

    var place: String {
        guard case .internet? = address, let address else { return "a unix socket" }
        return address.description
    }

    var unsentBytes: Int { unsent.readableBytes }

    func send(_ bytes: inout ByteBuffer) {
        defer { Self.empty(&bytes) }
        guard !hasEnded else { return }
        if unsent.readableBytes == 0 { write(&bytes) }
        guard bytes.readableBytes > 0, !hasEnded else { return }
        unsent.writeBuffer(&bytes)
        if unsent.readableBytes >= PeerTransport.unsentBytesHigh { isWritable = false }
    }

    func setReading(_ reads: Bool) {
        self.reads = reads
        if reads, inputWaits { goOnLater() }
    }

    func close() { end(nil) }

    // MARK: The loop's

    override func becameReady(_ readiness: Readiness) {
        if made != nil {
            guard !readiness.isDisjoint(with: [.writable, .failed, .hungUp]) else { return }
            var code: CInt = 0
            var count = socklen_t(MemoryLayout<CInt>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &count)
            guard code == 0 else { return failConnecting(code) }
            noticeLoss()
            let made = self.made
            self.made = nil
            made?(nil)
        }
        if !readiness.isDisjoint(with: [.readable, .inputEnded, .hungUp, .failed]) { inputWaits = true }
        if readiness.contains(.writable), unsent.readableBytes > 0 { writeUnsent() }
        readInput()
    }

    override func goOn() {
        isDeferred = false
        readInput()
    }

    override func loopEnds() { end(nil) }

    private func failConnecting(_ code: CInt) {
        let made = self.made
        self.made = nil
        user = nil
        leave()
        made?(PeerConnectFailure(String(cString: strerror(code)).lowercased(), isSilence: code == ETIMEDOUT))
    }

    private func readInput() {
        for _ in 0..<Self.readsPerTurn {
            guard reads, inputWaits, !hasEnded else { return }
            let count = linux_receive(descriptor, serving.input.baseAddress, serving.input.count)
            if count > 0 {
                user?.received(UnsafeRawBufferPointer(rebasing: serving.input[..<count]))
                // What did not fill the buffer was all; what comes from here on is told.
                if count < serving.input.count { inputWaits = false }
            } else if count == 0 {
                return end(nil)
            } else if errno == EAGAIN {
                inputWaits = false
            } else if errno != EINTR {
                return end("failed: \(String(cString: strerror(errno)).lowercased())")
            }
        }
        if inputWaits { goOnLater() }
    }

    private func goOnLater() {
        guard !isDeferred, !hasEnded else { return }
        isDeferred = true
        serving.deferTurn(of: self)
    }

    private func writeUnsent() {
        write(&unsent)
        guard !hasEnded else { return }
        if unsent.readableBytes == 0 { Self.empty(&unsent) }
        if !isWritable, unsent.readableBytes <= PeerTransport.unsentBytesLow {
            isWritable = true
            user?.becameWritable()
        }
    }

    private func write(_ bytes: inout ByteBuffer) {
        while bytes.readableBytes > 0 {
            let count = bytes.withUnsafeReadableBytes { linux_send(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                bytes.moveReaderIndex(forwardBy: count)
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                return end("failed: \(String(cString: strerror(errno)).lowercased())")
            }
        }
    }

    private static func empty(_ bytes: inout ByteBuffer) {
        if bytes.capacity > bufferBytesKept { bytes = ByteBuffer() } else { bytes.clear() }
    }

    /// The user hears of it later: it may be at work.
    private func end(_ reason: String?) {
        guard !hasEnded else { return }
        leave()
        made = nil
        unsent = ByteBuffer()
        guard let user else { return }
        self.user = nil
        let farewell = Farewell(user: user)
        serving.execute { farewell.user.ended(reason) }
    }

    private struct Farewell: @unchecked Sendable { let user: any PeerChannelUser }

    private func leave() {
        hasEnded = true
        serving.remove(self)
        Glibc.close(descriptor)
        whenGone?()
        whenGone = nil
    }
}

/// An internet address as the kernel takes it.
struct SocketAddressBytes: Sendable {
    private let bytes: [UInt8]
    private let family: CInt
    /// In words; nil where that can't be told.
    let place: SocketPlace?

    /// All addresses of a host, in the order in which they are to be tried. `isNumeric`: the host is an address already:
    /// then nobody is asked, and nothing waits.
    static func all(host: String, port: Int, isNumeric: Bool) -> [SocketAddressBytes] {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV | (isNumeric ? AI_NUMERICHOST : 0)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0 else { return [] }
        defer { freeaddrinfo(found) }
        var all: [SocketAddressBytes] = []
        var next = found
        while let info = next?.pointee {
            if let address = info.ai_addr {
                all.append(SocketAddressBytes(UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen))))
            }
            next = info.ai_next
        }
        return all
    }

    private init(_ address: UnsafeRawBufferPointer) {
        bytes = Array(address)
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: address.prefix($0.count)))
        }
        family = CInt(storage.ss_family)
        place = SocketPlace(storage)
    }

    /// A non-blocking socket that is about to connect; nil, with `errno`, where it can't.
    func connect() -> Int32? {
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, kind, 0)
        guard descriptor >= 0 else { return nil }
        let outcome = bytes.withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) {
                Glibc.connect(descriptor, $0.baseAddress, socklen_t(bytes.count))
            }
        }
        guard outcome == 0 || errno == EINPROGRESS else {
            let code = errno
            close(descriptor)
            errno = code
            return nil
        }
        return descriptor
    }
}
