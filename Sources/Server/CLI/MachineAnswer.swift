// What the commands that ask for one key make of its answer: JSON that loses nothing, and whether it was done.

package import Engine

package enum MachineAnswer {
    /// JSON; text that is not UTF-8, which JSON has no way to say, as `{"base64": "…"}`, wherever it stands.
    package static func json(_ value: Value) -> [UInt8] { value.lossless(textIntegers: false).json }

    private static let refusals: Set<String> = [
        "NOT_CREATED", "NOT_STORED", "NOT_FOUND", "NOT_HELD", "QUOTA_EXCEEDED", "LOCKED", "ERROR_CACHE_MISS",
    ]

    /// Whether a method's answer says that it did not do what it was called for. `EXISTS` is such a word only of what makes
    /// or adds something: of `exist` it is a yes.
    package static func isRefusal(_ value: Value, to key: String) -> Bool {
        let call = key.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard call.count == 3, let word = value.text else { return false }
        return refusals.contains(word) || word == "EXISTS" && ["new", "create", "add"].contains(call[1])
    }
}
