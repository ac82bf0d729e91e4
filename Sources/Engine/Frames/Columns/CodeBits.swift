// Sets of codes as a bit for each: made from marks, merged word by word.

struct CodeBits: Sendable {
    /// Bit `code % 64` of word `code / 64`.
    private var words: [UInt64] = []

    init() {}

    /// The codes from `base` on whose mark is not 0.
    init(marks: UnsafeBufferPointer<UInt8>, base: Int = 0) {
        words = Array(repeating: 0, count: (base + marks.count + 63) / 64)
        for (index, mark) in marks.enumerated() where mark != 0 {
            words[(base &+ index) >> 6] |= 1 << UInt64((base &+ index) & 63)
        }
    }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    var memoryBytes: Int { words.count * 8 }

    /// `code` is below those that the set was made for.
    func has(_ code: Int) -> Bool { words[code >> 6] >> UInt64(code & 63) & 1 != 0 }

    /// Ascending.
    func forEach(_ body: (Int) -> Void) {
        for (index, word) in words.enumerated() {
            var rest = word
            while rest != 0 {
                body(index &<< 6 &+ rest.trailingZeroBitCount)
                rest &= rest &- 1
            }
        }
    }

    /// Takes in the other's codes, each of which is greater by `offset` here. No code becomes negative.
    mutating func formUnion(_ other: CodeBits, at offset: Int = 0) {
        let (first, shift) = (offset >> 6, UInt64(offset & 63))
        for (index, word) in other.words.enumerated() where word != 0 {
            add(word << shift, at: first + index)
            if shift > 0 { add(word >> (64 - shift), at: first + index + 1) }
        }
    }

    @inline(__always)
    private mutating func add(_ word: UInt64, at index: Int) {
        guard word != 0 else { return }
        while words.count <= index { words.append(0) }
        words[index] |= word
    }
}
