// A request with a number in it, prepared as bytes: the load generator must cost less than the servers that it measures.
//
// Unsafe: writes through a raw buffer, within the room that it asked for.

import Engine
package import NIOCore

/// Bytes with gaps for one number, which is written alike into each.
package struct RequestPattern {
    private let pieces: [[UInt8]]
    /// The number's digits at least, zeros in front.
    private let digits: Int
    private let bytesMax: Int

    /// `%d` stands for the number.
    package init(_ text: String, digits: Int = 1) {
        self.init(text.split(separator: "%d", omittingEmptySubsequences: false).map { Array($0.utf8) }, digits: digits)
    }

    /// The number comes between each two pieces.
    init(_ pieces: [[UInt8]], digits: Int) {
        self.pieces = pieces
        self.digits = digits
        bytesMax = pieces.reduce(0) { $0 + $1.count + max(digits, Decimal.digitsMax) }
    }

    package func write(_ number: Int, to out: inout ByteBuffer) {
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: bytesMax) { target in
            var at = 0
            for index in pieces.indices {
                if index > 0 { at += writeNumber(number, to: UnsafeMutableRawBufferPointer(rebasing: target[at...])) }
                pieces[index].withUnsafeBytes { piece in
                    guard let start = piece.baseAddress else { return }
                    (target.baseAddress! + at).copyMemory(from: start, byteCount: piece.count)
                }
                at += pieces[index].count
            }
            return at
        }
    }

    private func writeNumber(_ number: Int, to target: UnsafeMutableRawBufferPointer) -> Int {
        let zeros = max(0, digits - Decimal.digitCount(UInt64(number)))
        for at in 0..<zeros { target[at] = UInt8(ascii: "0") }
        return zeros + Decimal.write(UInt64(number), to: UnsafeMutableRawBufferPointer(rebasing: target[zeros...]))
    }
}
