// Whether a client still takes what was written to it: for how long it has not taken a single byte.

package import NIOCore

/// Pure: counts and instants in, a duration out. One for each time that a client is watched.
package struct ReaderProgress {
    private var takenBytes: Int
    private var lastProgress: NIODeadline

    /// `written` bytes were given to the channel in all, `waiting` of them have not left it yet.
    package init(written: Int, waiting: Int, now: NIODeadline) {
        takenBytes = written - waiting
        lastProgress = now
    }

    /// How long nothing was taken; nil once nothing waits.
    package mutating func observe(written: Int, waiting: Int, now: NIODeadline) -> TimeAmount? {
        guard waiting > 0 else { return nil }
        if written - waiting > takenBytes {
            takenBytes = written - waiting
            lastProgress = now
        }
        return now - lastProgress
    }
}
