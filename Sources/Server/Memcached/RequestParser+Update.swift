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

    /// What follows the key is passed over, the time of 0 that old clients send among it; so it is in the others.
    private func parseDelete(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        guard words.count >= 2 else { return .refused(.malformed) }
        guard words[1].count <= Self.keyBytesMax else { return .refused(.badFormat) }
        return .request(.delete(key: words[1], isSilent: words.isSilent(line)))
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
