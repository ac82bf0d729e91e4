// What a session has received and can't use yet, and what it is to skip of what comes.
//
// Unsafe: copies from raw buffers, within their counts.

struct HeldInput {
    /// Received and not yet consumed.
    private(set) var bytes: [UInt8] = []
    /// No use looking at `bytes` before there are this many.
    private(set) var neededBytes = 0
    /// They begin with a long line whose end has not come.
    private var awaitsLineEnd = false
    /// What is left to skip of a refused data block.
    private(set) var swallowBytes = 0

    /// What a connection may keep for its next half of a request.
    private static let idleBytesMax = 4 << 10

    var isEmpty: Bool { bytes.isEmpty }
    /// In memory.
    var capacity: Int { bytes.capacity }
    /// The rest of a data block is to come.
    var awaitsBlock: Bool { neededBytes > 0 || swallowBytes > 0 }
    /// There may be enough for a request.
    var isEnough: Bool { bytes.count >= neededBytes }

    /// Whether these are but a small piece of a long line: it is searched for its end once a page, not once a piece.
    func onlyLengthensLine(_ more: UnsafeRawBufferPointer) -> Bool {
        awaitsLineEnd && bytes.count % 4096 + more.count < 4096 && !more.contains(0x0A)
    }

    /// Makes no more room than what has come needs and half of that again, nor more than the block at hand needs.
    mutating func append(_ more: UnsafeRawBufferPointer) {
        let count = bytes.count + more.count
        if count > bytes.capacity {
            let roomy = count + count / 2
            bytes.reserveCapacity(neededBytes >= count ? min(roomy, neededBytes) : roomy)
        }
        bytes.append(contentsOf: more)
    }

    /// All of it, to be read where nothing else can reach it.
    mutating func take() -> [UInt8] {
        var taken: [UInt8] = []
        swap(&taken, &bytes)
        return taken
    }

    /// What was taken comes back without its first `consumed` bytes.
    mutating func putBack(_ taken: consuming [UInt8], without consumed: Int) {
        bytes = taken
        let left = bytes.count - consumed
        if left == 0 {
            bytes.removeAll(keepingCapacity: bytes.capacity <= Self.idleBytesMax)
        } else if bytes.capacity > 4 * left + Self.idleBytesMax {
            bytes = Array(bytes[consumed...])
        } else {
            bytes.removeFirst(consumed)
        }
    }

    /// Before requests are looked for.
    mutating func beginReading() { (neededBytes, awaitsLineEnd) = (0, false) }

    /// The request at hand has so many bytes.
    mutating func awaitBytes(_ count: Int) { neededBytes = count }

    /// The end of the line at hand has not come, of which there are so many bytes.
    mutating func awaitLineEnd(after count: Int) { awaitsLineEnd = count > RequestParser.lineBytesMax }

    /// So many of the bytes that come next are to be skipped.
    mutating func swallow(_ count: Int) { swallowBytes = count }

    /// The request at hand was refused: what has not come of it is to be skipped, of which `count` bytes have.
    mutating func refuseRest(after count: Int) {
        swallowBytes = max(0, neededBytes - count)
        neededBytes = 0
    }

    /// How many of the next bytes are to be skipped.
    mutating func skip(of count: Int) -> Int {
        let skipped = min(swallowBytes, count)
        swallowBytes -= skipped
        return skipped
    }
}
