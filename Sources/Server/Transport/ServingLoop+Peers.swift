// A serving loop as the place of peer connections: timers, errands of its own, and connections that it makes.

import Dispatch
package import Coordination
import Engine
package import Gather

extension ServingLoop: PeerLoop {
    package var now: Instant { Instant(nanoseconds: monotonicNanoseconds()) }

    package func schedule(afterMilliseconds: Int, _ errand: @escaping @Sendable () -> Void) -> PeerTimer {
        let number = addTimer(afterMilliseconds: afterMilliseconds, errand)
        return PeerTimer { [weak self] in self?.removeTimer(number) }
    }

    package func connect(
        host: String, port: Int, milliseconds: Int, user: any PeerChannelUser,
        made: @escaping @Sendable (Result<any PeerChannel, PeerConnectFailure>) -> Void
    ) {
        let attempt = ConnectAttempt(loop: self, user: user, made: made)
        let timer = schedule(afterMilliseconds: milliseconds) { attempt.giveUp() }
        attempt.timer = timer
        let addresses = SocketAddressBytes.all(host: host, port: port, isNumeric: true)
        guard addresses.isEmpty else { return attempt.go(on: addresses[...]) }
        // Asking for a name's addresses waits.
        DispatchQueue.global().async {
            let addresses = SocketAddressBytes.all(host: host, port: port, isNumeric: false)
            self.execute {
                if addresses.isEmpty {
                    attempt.end(.failure(PeerConnectFailure("no address found for \(host)", isSilence: false)))
                } else {
                    attempt.go(on: addresses[...])
                }
            }
        }
    }
}

/// One address of a host after the other, until one can be connected to. On the loop's thread.
private final class ConnectAttempt: @unchecked Sendable {
    private let loop: ServingLoop
    private let user: any PeerChannelUser
    private var made: ((Result<any PeerChannel, PeerConnectFailure>) -> Void)?
    private var socket: PeerSocket?
    var timer: PeerTimer?

    init(
        loop: ServingLoop, user: any PeerChannelUser,
        made: @escaping @Sendable (Result<any PeerChannel, PeerConnectFailure>) -> Void
    ) {
        self.loop = loop
        self.user = user
        self.made = made
    }

    func go(on addresses: ArraySlice<SocketAddressBytes>) {
        guard made != nil, let address = addresses.first else { return }
        do throws(PeerConnectFailure) {
            socket = try PeerSocket.connecting(to: address, loop: loop, user: user) { [self] failure in
                connected(failure, others: addresses.dropFirst())
            }
        } catch {
            connected(error, others: addresses.dropFirst())
        }
    }

    private func connected(_ failure: PeerConnectFailure?, others: ArraySlice<SocketAddressBytes>) {
        if let failure {
            if others.isEmpty { end(.failure(failure)) } else { go(on: others) }
        } else if let socket {
            end(.success(socket))
        }
    }

    func giveUp() {
        guard made != nil else { return }
        socket?.close()
        end(.failure(PeerConnectFailure("no answer to the connection attempt", isSilence: true)))
    }

    func end(_ result: Result<any PeerChannel, PeerConnectFailure>) {
        let made = self.made
        self.made = nil
        timer?.cancel()
        made?(result)
    }
}
