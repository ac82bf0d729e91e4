// The lines of delete, incr, decr and touch.

import Engine

extension RequestParser {
    /// Nil when the verb is none of these.
    func parseUpdate(
        _ verb: UnsafeRawBufferPointer, _ words: Words, _ line: UnsafeRawBufferPointer
    ) -> LineOutcome? {
        if isWord(verb, "delete") { return parseDelete(words, line) }
        if isWord(verb, "incr") { return parseArithmetic(.increment, words, line) }
        if isWord(verb, "decr") { return parseArithmetic(.decrement, words, line) }
        if isWord(verb, "touch") { return parseTouch(words, line) }
        return nil
    }

    /// A time of 0 is allowed after the key, as old clients send it. Any other word is refused, as libmemcached's own test of a
    /// server wants it and memcached did before 1.6.45: a client that asks for a delay must not get a delete at once.
    private func parseDelete(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        guard words.count >= 2 else { return .refused(.malformed) }
        let isSilent = words.isSilent(line)
        if words.count > 2 {
            let hasZero = isWord(UnsafeRawBufferPointer(rebasing: line[words[2]]), "0")
            guard words.count == 3 ? hasZero || isSilent : words.count == 4 && hasZero && isSilent else {
                return .refused(.badDeleteFormat)
            }
        }
        guard words[1].count <= Self.keyBytesMax else { return .refused(.badFormat) }
        return .request(.delete(key: words[1], isSilent: isSilent))
    }

    private func parseArithmetic(
        _ verb: ArithmeticVerb, _ words: Words, _ line: UnsafeRawBufferPointer
    ) -> LineOutcome {
        guard words.count >= 3 else { return .refused(.malformed) }
        guard words[1].count <= Self.keyBytesMax else { return .refused(.badFormat) }
        guard let delta = unsignedNumber(line, words[2]) else { return .refused(.badDelta) }
        return .request(.arithmetic(verb, key: words[1], delta: delta, isSilent: words.isSilent(line)))
    }

    private func parseTouch(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        guard words.count >= 3 else { return .refused(.malformed) }
        guard words[1].count <= Self.keyBytesMax else { return .refused(.badFormat) }
        guard let exptime = signedNumber(line, words[2]) else { return .refused(.badExptime) }
        return .request(.touch(key: words[1], exptime: exptime, isSilent: words.isSilent(line)))
    }
}
