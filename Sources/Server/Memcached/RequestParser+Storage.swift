// The lines of set, add, replace, append, prepend and cas.

import Engine

extension RequestParser {
    /// Nil when the verb is none of these.
    func parseStorage(
        _ verb: UnsafeRawBufferPointer, _ words: Words, _ line: UnsafeRawBufferPointer
    ) -> LineOutcome? {
        guard let verb = Self.storageVerb(verb) else { return nil }
        // verb key flags exptime bytes [unique] [noreply]; the length first, as a block of it follows whatever the rest is.
        guard words.count >= 5, let valueBytes = unsignedNumber(line, words[4]), valueBytes <= Self.valueBytesMax
        else { return .refused(.malformed) }
        let blockBytes = Int(valueBytes) + 2
        guard words[1].count <= Self.keyBytesMax,
            let flags = unsignedNumber(line, words[2]), flags <= UInt64(UInt32.max),
            let exptime = signedNumber(line, words[3])
        else { return .refused(.badFormat, blockBytes: blockBytes) }
        var cas: UInt64 = 0
        if verb == .cas {
            guard words.count >= 6, let unique = unsignedNumber(line, words[5]) else {
                return .refused(.badFormat, blockBytes: blockBytes)
            }
            cas = unique
        }
        return .request(
            .storage(
                StorageRequest(
                    verb: verb, key: words[1], flags: UInt32(flags), exptime: exptime, valueBytes: Int(valueBytes),
                    cas: cas, isSilent: words.isSilent(line))))
    }

    private static func storageVerb(_ verb: UnsafeRawBufferPointer) -> StoreVerb? {
        if isWord(verb, "set") { return .set }
        if isWord(verb, "add") { return .add }
        if isWord(verb, "cas") { return .cas }
        if isWord(verb, "replace") { return .replace }
        if isWord(verb, "append") { return .append }
        if isWord(verb, "prepend") { return .prepend }
        return nil
    }
}
