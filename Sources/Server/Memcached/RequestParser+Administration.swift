// The lines of flush_all, stats, version, verbosity, mn, shutdown and quit, and of memcached's commands for its own workings.

extension RequestParser {
    /// Nil when the verb is none of these.
    func parseAdministration(
        _ verb: UnsafeRawBufferPointer, _ words: Words, _ line: UnsafeRawBufferPointer
    ) -> LineOutcome? {
        if isWord(verb, "flush_all") { return parseFlush(words, line) }
        if isWord(verb, "stats") {
            return .request(.stats(arguments: words.count > 1 ? words[1].lowerBound..<line.count : 0..<0))
        }
        if isWord(verb, "version") { return .request(.version) }
        if isWord(verb, "verbosity") { return parseVerbosity(words, line) }
        if isWord(verb, "mn") { return .request(.metaNoop) }
        if isWord(verb, "shutdown") { return parseShutdown(words, line) }
        if isWord(verb, "quit") { return .request(.quit) }
        if let meta = Self.metaVerb(verb) { return .request(.meta(meta)) }
        return parseTuning(verb, words, line)
    }

    private func parseShutdown(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        let isKnown = words.count == 1 || (words.count == 2 && isWord(word(words, 1, line), "graceful"))
        return .request(.shutdown(isKnown: isKnown))
    }

    private func parseFlush(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        let isSilent = words.isSilent(line)
        guard words.count > (isSilent ? 2 : 1) else { return .request(.flushAll(delaySeconds: 0, isSilent: isSilent)) }
        guard let delay = signedNumber(line, words[1]), Int32(exactly: delay) != nil else {
            return .refused(.badExptime)
        }
        return .request(.flushAll(delaySeconds: delay, isSilent: isSilent))
    }

    private func parseVerbosity(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        guard (2...3).contains(words.count) else { return .refused(.error) }
        let isSilent = words.isSilent(line)
        guard isSilent || unsignedNumber(line, words[1]) != nil else { return .refused(.badFormat) }
        return .request(.verbosity(isSilent: isSilent))
    }

    // MARK: What tunes memcached

    /// There are no slabs and no LRU lists to tune: well-formed settings are accepted, so that scripts that send them go on,
    /// and change nothing. What would have to answer with data is refused.
    private func parseTuning(
        _ verb: UnsafeRawBufferPointer, _ words: Words, _ line: UnsafeRawBufferPointer
    ) -> LineOutcome? {
        if isWord(verb, "cache_memlimit") { return parseMemoryLimit(words, line, ofFrames: false) }
        if isWord(verb, "frame_memlimit") { return parseMemoryLimit(words, line, ofFrames: true) }
        if isWord(verb, "slabs") { return parseSlabs(words, line) }
        if isWord(verb, "lru") { return parseLRU(words, line) }
        if isWord(verb, "lru_crawler") { return parseCrawler(words, line) }
        if isWord(verb, "watch") { return parseWatch(words, line) }
        return nil
    }

    private func word(_ words: Words, _ at: Int, _ line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        at < words.count
            ? UnsafeRawBufferPointer(rebasing: line[words[at]]) : UnsafeRawBufferPointer(rebasing: line[0..<0])
    }

    private func parseMemoryLimit(
        _ words: Words, _ line: UnsafeRawBufferPointer, ofFrames: Bool
    ) -> LineOutcome {
        guard words.count >= 2, let megabytes = unsignedNumber(line, words[1]), megabytes <= UInt64(UInt32.max)
        else { return .refused(.error) }
        let isSilent = words.isSilent(line)
        return .request(
            ofFrames
                ? .frameMemoryLimit(megabytes: megabytes, isSilent: isSilent)
                : .memoryLimit(megabytes: megabytes, isSilent: isSilent))
    }

    /// Without a word it is about what is fetched.
    private func parseWatch(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        var topics: WatchTopics = words.count == 1 ? .fetchers : []
        for at in 1..<max(words.count, 1) {
            let given = word(words, at, line)
            guard let (_, topic) = WatchTopics.words.first(where: { given.elementsEqual($0.0.utf8) }) else {
                return .refused(.error)
            }
            topics.insert(topic)
        }
        return .request(.watch(topics))
    }

    private func parseSlabs(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        let command = word(words, 1, line)
        if isWord(command, "reassign"), words.count == 4 {
            guard let from = signedNumber(line, words[2]), let to = signedNumber(line, words[3]) else {
                return .refused(.badFormat)
            }
            if from == to { return .refused(.sameSlabs) }
            return .refused((-1...63).contains(from) && (0...63).contains(to) ? .noSlabs : .badSlabs)
        }
        if isWord(command, "automove"), words.count >= 3 {
            guard let mode = unsignedNumber(line, words[2]) else { return .refused(.badFormat) }
            return mode <= 2 ? .request(.acknowledged) : .refused(.error)
        }
        return .refused(.error)
    }

    private func parseLRU(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        let command = word(words, 1, line)
        var isKnown = false
        if isWord(command, "tune"), words.count >= 6 {
            guard let hot = unsignedNumber(line, words[2]), let warm = unsignedNumber(line, words[3]),
                isPositive(word(words, 4, line)), isPositive(word(words, 5, line))
            else { return .refused(.error) }
            if max(hot, warm) > 80 || hot + warm > 80 { return .refused(.tooLargeShares) }
            isKnown = true
        } else if isWord(command, "mode"), words.count >= 3 {
            isKnown = isWord(word(words, 2, line), "flat") || isWord(word(words, 2, line), "segmented")
        } else if isWord(command, "temp_ttl"), words.count >= 3 {
            isKnown = signedNumber(line, words[2]) != nil
        }
        return isKnown ? .request(.acknowledged) : .refused(.error)
    }

    private func isPositive(_ word: UnsafeRawBufferPointer) -> Bool {
        (Double(String(decoding: word, as: UTF8.self)) ?? 0) > 0
    }

    private func parseCrawler(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        let command = word(words, 1, line)
        if isWord(command, "enable") { return .request(.allowCrawls(true)) }
        if isWord(command, "disable") { return .request(.allowCrawls(false)) }
        guard words.count >= 3 else { return .refused(.error) }
        let argument = word(words, 2, line)
        if isWord(command, "metadump") { return parseDump(.facts, argument) }
        if isWord(command, "mgdump") { return parseDump(.commands, argument) }
        if isWord(command, "crawl") {
            guard let hasFirst = parseClasses(argument) else { return .refused(.badClass) }
            return .request(.crawl(isEmpty: !hasFirst))
        }
        if isWord(command, "sleep") || isWord(command, "tocrawl") {
            guard let number = unsignedNumber(line, words[2]) else { return .refused(.badFormat) }
            return isWord(command, "sleep") && number > 1_000_000 ? .refused(.badSleep) : .request(.acknowledged)
        }
        return .refused(.error)
    }

    private func parseDump(_ style: KeyDumpStyle, _ argument: UnsafeRawBufferPointer) -> LineOutcome {
        guard let hasFirst = isWord(argument, "hash") ? true : parseClasses(argument) else {
            return .refused(.badClass)
        }
        return .request(.dump(style, isEmpty: !hasFirst))
    }

    /// `all`, or size classes separated by commas: whether the first is among them, the only one that there is. Nil where
    /// it is neither.
    private func parseClasses(_ argument: UnsafeRawBufferPointer) -> Bool? {
        if isWord(argument, "all") { return true }
        var hasFirst = false
        for word in argument.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            guard let number = unsignedNumber(argument, word.startIndex..<word.endIndex), (1...63).contains(number)
            else { return nil }
            hasFirst = hasFirst || number == 1
        }
        return hasFirst
    }
}
