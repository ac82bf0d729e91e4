// What each request to a peer begins with: until when it is good, and in which view of the nodes it was made.

import NIOCore

package struct RequestHead: Sendable, Equatable {
    /// By the sender's clock, when it was sent; nanoseconds.
    package let sent: UInt64
    /// How much of its time was left then, in milliseconds.
    package let leftMilliseconds: UInt32
    /// That of the view in which the sender looked for this node; 0 of a command, which knows none.
    package let epoch: UInt64

    /// On the wire: clock (u64), time left (u32), epoch (u64), behind the frame's id.
    package static let bytes = 20

    package init(sent: UInt64, leftMilliseconds: UInt32, epoch: UInt64) {
        self.sent = sent
        self.leftMilliseconds = leftMilliseconds
        self.epoch = epoch
    }

    /// Reads it; nil where there is no whole one.
    init?(_ message: inout ByteBuffer) {
        guard let sent = message.readWire(UInt64.self), let left = message.readWire(UInt32.self),
            let epoch = message.readWire(UInt64.self)
        else { return nil }
        self.init(sent: sent, leftMilliseconds: left, epoch: epoch)
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.writeWire(sent)
        buffer.writeWire(leftMilliseconds)
        buffer.writeWire(epoch)
    }
}
