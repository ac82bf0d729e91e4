// What the kernel is told about a peer connection, so that a dead one does not last.

import Glibc
import NIOCore

enum PeerTransport {
    /// How long sent bytes may stay without an acknowledgement.
    private static let unacknowledgedMilliseconds = 5_000
    private static let idleSeconds = 3

    /// TCP repeats what is lost at intervals that double, for a quarter of an hour. A connection is given up long before
    /// that, also one on which nothing is waiting to be sent.
    static func notice(loss channel: any Channel) {
        guard channel.remoteAddress?.isInternet == true else { return }
        let tcp = NIOBSDSocket.OptionLevel(rawValue: CInt(IPPROTO_TCP))
        func set(_ level: NIOBSDSocket.OptionLevel, _ option: CInt, _ value: Int) {
            _ = channel.setOption(
                ChannelOptions.Types.SocketOption(level: level, name: NIOBSDSocket.Option(rawValue: option)),
                value: value)
        }
        set(.socket, SO_KEEPALIVE, 1)
        set(tcp, TCP_KEEPIDLE, idleSeconds)
        set(tcp, TCP_KEEPINTVL, 1)
        set(tcp, TCP_KEEPCNT, 3)
        set(tcp, TCP_USER_TIMEOUT, unacknowledgedMilliseconds)
    }
}

extension SocketAddress {
    fileprivate var isInternet: Bool {
        switch self {
        case .v4, .v6: true
        case .unixDomainSocket: false
        }
    }
}
