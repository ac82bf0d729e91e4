// Different strings of one dictionary, as a bit for each of its codes: merged without a look at any of them.

struct CodeSet: Sendable {
    /// Knows all codes of the set.
    private(set) var dictionary: DictionaryView
    /// Bit `code % 64` of word `code / 64`.
    private var words: [UInt64]

    /// Of `dictionary`, which is a shared one: the codes from `base` on whose mark is not 0.
    init(_ dictionary: DictionaryView, base: Int, marks: UnsafeBufferPointer<UInt8>) {
        self.dictionary = dictionary
        words = Array(repeating: 0, count: (base + marks.count + 63) / 64)
        for (index, mark) in marks.enumerated() where mark != 0 {
            words[(base &+ index) >> 6] |= 1 << UInt64((base &+ index) & 63)
        }
    }

    var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// Without the dictionary.
    var memoryBytes: Int { words.count * 8 }

    /// False, and nothing is changed, when the codes of the other set may mean something else.
    mutating func formUnion(_ other: CodeSet) -> Bool {
        guard dictionary.hasCodes(of: other.dictionary) else { return false }
        if other.dictionary.count > dictionary.count { dictionary = other.dictionary }
        for (index, word) in other.words.enumerated() {
            if index < words.count { words[index] |= word } else { words.append(word) }
        }
        return true
    }

    /// The strings in the order of their codes.
    func forEach(_ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        let strings = dictionary.strings
        withExtendedLifetime(dictionary) {
            for (index, word) in words.enumerated() {
                var rest = word
                while rest != 0 {
                    body(strings[index &<< 6 &+ rest.trailingZeroBitCount])
                    rest &= rest &- 1
                }
            }
        }
    }
}
