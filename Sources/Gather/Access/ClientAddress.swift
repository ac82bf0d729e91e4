// Where a client is: on this machine or elsewhere, and what failed logins are counted by.

package struct ClientAddress: Sendable, Hashable {
    /// Without its port; empty for one of a unix socket.
    package let host: String
    /// On loopback, or a unix socket.
    package let isLocal: Bool

    package init(host: String) {
        self.init(host: host, isLocal: host.isEmpty || PeerTransport.isLoopback(address: host))
    }

    package init(host: String, isLocal: Bool) {
        self.host = host
        self.isLocal = isLocal
    }

    /// A client of a unix socket, or of no socket at all.
    package static let local = ClientAddress(host: "")
}
