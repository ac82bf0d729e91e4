// The lines of flush_all, stats, version, verbosity, mn, shutdown and quit.

extension RequestParser {
    /// Nil when the verb is none of these.
    func parseAdministration(
        _ verb: UnsafeRawBufferPointer, _ words: Words, _ line: UnsafeRawBufferPointer
    ) -> LineOutcome? {
        if isWord(verb, "flush_all") { return parseFlush(words, line) }
        if isWord(verb, "stats") { return .request(.stats(argument: words.count > 1 ? words[1] : 0..<0)) }
        if isWord(verb, "version") { return .request(.version) }
        if isWord(verb, "verbosity") { return parseVerbosity(words, line) }
        if isWord(verb, "mn") { return .request(.metaNoop) }
        if isWord(verb, "shutdown") { return .request(.shutdown) }
        if isWord(verb, "quit") { return .request(.quit) }
        return nil
    }

    private func parseFlush(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        guard words.count <= 3 else { return .refused(.error) }
        let isSilent = words.isSilent(line)
        guard words.count > (isSilent ? 2 : 1) else { return .request(.flushAll(delaySeconds: 0, isSilent: isSilent)) }
        guard let delay = signedNumber(line, words[1]) else { return .refused(.badExptime) }
        return .request(.flushAll(delaySeconds: delay, isSilent: isSilent))
    }

    private func parseVerbosity(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        guard (2...4).contains(words.count) else { return .refused(.error) }
        let isSilent = words.isSilent(line)
        guard isSilent || unsignedNumber(line, words[1]) != nil else { return .refused(.badFormat) }
        return .request(.verbosity(isSilent: isSilent))
    }
}
