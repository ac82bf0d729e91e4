// Takes in new connections of one listening socket, and waits where the process has no descriptors left.
//
// Unsafe: system calls on raw descriptors.

import CLinux
import Glibc

final class Acceptor: LoopMember {
    /// Without a descriptor to spare it tries again after this.
    private static let pauseMilliseconds = 100
    /// Before the loop's connections get their turn again.
    private static let acceptsPerTurn = 64

    private let loop: ServingLoop
    private let accepted: (_ descriptor: Int32, _ place: SocketPlace?) -> Void
    private var pausedSince: Int?

    /// `accepted` gets each new connection, non-blocking, and has to close it in the end.
    init(_ socket: ListeningSocket, loop: ServingLoop, accepted: @escaping (Int32, SocketPlace?) -> Void) {
        self.loop = loop
        self.accepted = accepted
        super.init(descriptor: socket.descriptor)
    }

    override func becameReady(_ readiness: Readiness) {
        for _ in 0..<Self.acceptsPerTurn {
            var storage = sockaddr_storage()
            var count = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let descriptor = linux_accept(self.descriptor, &storage, &count)
            if descriptor >= 0 {
                accepted(descriptor, SocketPlace(storage))
            } else if errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM {
                return pause()
            } else if errno != EINTR, errno != ECONNABORTED {
                return
            }
        }
    }

    /// The socket would stay readable, and the loop would turn for nothing.
    private func pause() {
        pausedSince = loop.nowMilliseconds
        loop.watch(self, [])
        loop.startTicking()
    }

    override func tick(nowMilliseconds: Int) {
        guard let since = pausedSince, nowMilliseconds - since >= Self.pauseMilliseconds else { return }
        pausedSince = nil
        loop.stopTicking()
        loop.watch(self, .readable)
    }

    func stop() {
        if pausedSince != nil { loop.stopTicking() }
        loop.remove(self)
        close(descriptor)
    }

    override func loopEnds() { close(descriptor) }
}
