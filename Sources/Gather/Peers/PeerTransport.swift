// What carries a peer connection's bytes: a loop and its connections, as links and servers of peers need them. Decides nothing.

package import Coordination
package import NIOCore
import Glibc

/// A thread that connections live on. What is not said otherwise may be called from any thread.
package protocol PeerLoop: AnyObject, Sendable {
    /// On the monotonic clock of its node.
    var now: Instant { get }
    /// Whether this is the loop's own thread.
    var isCurrent: Bool { get }
    /// Runs `errand` on the loop's thread, soon, and after those that came before it.
    func execute(_ errand: @escaping @Sendable () -> Void)
    /// On the loop's thread: runs `errand` once all that is ready in this turn was looked at.
    func afterTurn(_ errand: @escaping @Sendable () -> Void)
    /// On the loop's thread: runs `errand` there after so long.
    func schedule(afterMilliseconds: Int, _ errand: @escaping @Sendable () -> Void) -> PeerTimer
    /// On the loop's thread: makes a connection, whose input `user` gets. `made` is called there once.
    func connect(
        host: String, port: Int, milliseconds: Int, user: any PeerChannelUser,
        made: @escaping @Sendable (Result<any PeerChannel, PeerConnectFailure>) -> Void)
}

package struct PeerTimer: Sendable {
    /// On the loop's thread; nothing where the errand has run.
    package let cancel: @Sendable () -> Void

    package init(cancel: @escaping @Sendable () -> Void) { self.cancel = cancel }
}

package struct PeerConnectFailure: Error {
    /// For people, in a few words.
    package let message: String
    /// Nothing came back, not even a refusal.
    package let isSilence: Bool

    package init(_ message: String, isSilence: Bool) {
        self.message = message
        self.isSilence = isSilence
    }
}

/// One connection. Everything happens on its loop's thread.
package protocol PeerChannel: AnyObject, Sendable {
    var loop: any PeerLoop { get }
    /// Its other end is on this machine.
    var isLoopback: Bool { get }
    /// The address of its other end, without a port; empty for a unix socket.
    var host: String { get }
    /// Its other end, for people.
    var place: String { get }
    /// Less than `PeerTransport.unsentBytesHigh` wait to be sent.
    var isWritable: Bool { get }
    var unsentBytes: Int { get }
    /// Sends all of the bytes, in the end: `bytes` is empty afterwards.
    func send(_ bytes: inout ByteBuffer)
    /// Whether input is taken.
    func setReading(_ reads: Bool)
    /// `ended` of its user is called soon.
    func close()
}

/// Whom a connection tells what comes.
package protocol PeerChannelUser: AnyObject {
    /// Good for as long as the call lasts.
    func received(_ bytes: UnsafeRawBufferPointer)
    func becameWritable()
    /// Once, at last. `reason`: what happened to the connection; nil where the other side closed it, or this one.
    func ended(_ reason: String?)
}

package enum PeerTransport {
    package static let unsentBytesHigh = 1 << 20
    package static let unsentBytesLow = unsentBytesHigh / 4
    /// How long sent bytes may stay without an acknowledgement.
    private static let unacknowledgedMilliseconds: CInt = 5_000
    private static let idleSeconds: CInt = 3

    /// Options of an internet socket. TCP repeats what is lost at intervals that double, for a quarter of an hour. A connection
    /// is given up long before that, also one on which nothing is waiting to be sent.
    package static let lossOptions: [(level: CInt, option: CInt, value: CInt)] = [
        (SOL_SOCKET, SO_KEEPALIVE, 1), (CInt(IPPROTO_TCP), TCP_KEEPIDLE, idleSeconds),
        (CInt(IPPROTO_TCP), TCP_KEEPINTVL, 1), (CInt(IPPROTO_TCP), TCP_KEEPCNT, 3),
        (CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, unacknowledgedMilliseconds),
    ]

    /// This machine itself: 127.0.0.0/8, ::1, either written as the other.
    package static func isLoopback(address: String) -> Bool {
        address.hasPrefix("127.") || address == "::1" || address.hasPrefix("::ffff:127.")
    }
}
