// What the connections of one loop hold in half-sent requests and unread answers, all together: beyond a limit those go first
// that have moved nothing for the longest time.

/// A connection that holds something.
protocol BufferHolder: AnyObject {
    /// Where the account keeps what it knows of it.
    var holding: BufferAccount.Holding { get set }
    /// Has to hold next to nothing from now on: its request is refused, or it is cut off.
    func shedBuffers()
}

/// Used on its loop's thread alone.
final class BufferAccount {
    struct Holding {
        fileprivate var bytes = 0
        fileprivate var place = -1
        /// Grows with every holder that has moved something: the lowest is the one to go.
        fileprivate var turn: UInt64 = 0
        fileprivate var movedBytes = 0
        /// False for nearly every connection nearly all of the time.
        var isCounted: Bool { place >= 0 }
    }

    /// Less than this is nobody's concern: it is what every connection may need for a moment, in bytes.
    static let bytesFree = 16 << 10
    /// Who moves less than this has not moved: a client that sends a byte now and then holds as much as one that sends nothing.
    private static let moveBytes = 16 << 10

    let bytesMax: Int
    private(set) var bytes = 0 {
        didSet { gauge?.set(bytes) }
    }
    private let gauge: BufferGauge?
    private var holders: [any BufferHolder] = []
    private var turn: UInt64 = 0

    /// `gauge`: where others read what is held.
    init(bytesMax: Int, gauge: BufferGauge? = nil) {
        self.bytesMax = bytesMax
        self.gauge = gauge
    }

    /// `holder` holds that many bytes now, and has read or sent `moved` since the last time. Others, or itself, may be told
    /// to shed before this returns. Cost: a comparison while it holds little.
    @inline(__always)
    func note(_ holder: some BufferHolder, holds bytes: Int, moved: Int) {
        if bytes > Self.bytesFree || holder.holding.isCounted { count(holder, bytes, moved) }
    }

    func remove(_ holder: some BufferHolder) { if holder.holding.isCounted { count(holder, 0, 0) } }

    @inline(never)
    private func count(_ holder: any BufferHolder, _ held: Int, _ moved: Int) {
        bytes += held - holder.holding.bytes
        holder.holding.bytes = held
        guard held > Self.bytesFree else { return drop(holder) }
        holder.holding.movedBytes += moved
        if !holder.holding.isCounted || holder.holding.movedBytes >= Self.moveBytes {
            turn += 1
            holder.holding.turn = turn
            holder.holding.movedBytes = 0
        }
        if !holder.holding.isCounted {
            holder.holding.place = holders.count
            holders.append(holder)
        }
        while bytes > bytesMax, let first = holders.min(by: { $0.holding.turn < $1.holding.turn }) {
            // Off the account before it sheds: what it says of itself meanwhile is counted anew.
            drop(first)
            first.shedBuffers()
        }
    }

    private func drop(_ holder: any BufferHolder) {
        let place = holder.holding.place
        bytes -= holder.holding.bytes
        holder.holding = Holding()
        guard place >= 0 else { return }
        let last = holders.removeLast()
        guard last !== holder else { return }
        holders[place] = last
        last.holding.place = place
    }
}
