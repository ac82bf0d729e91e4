// Different strings of one dictionary, as a bit for each of its codes: merged without a look at any of them.

struct CodeSet: Sendable {
    /// Knows all codes of the set.
    private(set) var dictionary: DictionaryView
    private var bits: CodeBits

    /// Of `dictionary`, which is a shared one: the codes from `base` on whose mark is not 0.
    init(_ dictionary: DictionaryView, base: Int, marks: UnsafeBufferPointer<UInt8>) {
        self.dictionary = dictionary
        bits = CodeBits(marks: marks, base: base)
    }

    var count: Int { bits.count }

    /// Without the dictionary.
    var memoryBytes: Int { bits.memoryBytes }

    /// False, and nothing is changed, when the codes of the other set may mean something else.
    mutating func formUnion(_ other: CodeSet) -> Bool {
        guard dictionary.hasCodes(of: other.dictionary) else { return false }
        if other.dictionary.count > dictionary.count { dictionary = other.dictionary }
        bits.formUnion(other.bits)
        return true
    }

    /// The strings in the order of their codes.
    func forEach(_ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        let strings = dictionary.strings
        withExtendedLifetime(dictionary) { bits.forEach { body(strings[$0]) } }
    }
}
