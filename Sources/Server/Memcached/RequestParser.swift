// Memcached's text protocol: one command line in, a request, a refusal or "need more" out.
//
// Unsafe: reads the input through a raw buffer, within its count. Pure: it keeps nothing, so that bytes fed one at a
// time and all at once give the same. Refusals follow memcached 1.6.45, line by line.

import Engine
import Glibc

struct RequestParser {
    static let keyBytesMax = Key.bytesMax
    static let lineBytesMax = 2048
    /// Two bytes less than a 32-bit length, as the block's line end counts too.
    static let valueBytesMax = UInt64(Int32.max) - 2

    let retrievalLineBytesMax: Int

    /// Parses the line that `bytes` starts with. Cost: one search for its end, one pass over it.
    @inline(__always)
    func parse(_ bytes: UnsafeRawBufferPointer) -> ParseResult {
        guard let start = bytes.baseAddress, let newline = memchr(start, 0x0A, bytes.count) else {
            return parseUnfinished(bytes)
        }
        let lineBytes = UnsafeRawPointer(newline) - start + 1
        let hasReturn = lineBytes > 1 && bytes[lineBytes - 2] == 0x0D
        let line = UnsafeRawBufferPointer(rebasing: bytes[..<(lineBytes - (hasReturn ? 2 : 1))])
        // The commonest line first: `get ` and keys.
        if line.count > 4, start.loadUnaligned(as: UInt32.self) == Self.getBlank {
            return retrieval(.get, exptime: 0, line, from: 4, lineBytes)
        }
        if line.count > 2, line[0] == UInt8(ascii: "m"), line[2] == 0x20,
            let verb = Self.metaVerb(UnsafeRawBufferPointer(rebasing: line[..<2]))
        {
            return .request(.meta(verb), lineBytes: lineBytes)
        }
        return parseLine(line, lineBytes)
    }

    private static let getBlank = UInt32(littleEndian: 0x2074_6567)  // "get "

    /// Without its end a line may grow up to a limit, which is wider for retrievals.
    private func parseUnfinished(_ bytes: UnsafeRawBufferPointer) -> ParseResult {
        guard bytes.count > Self.lineBytesMax else { return .needMore }
        let isRetrieval =
            ["get ", "gets ", "gat ", "gats "].contains { (verb: StaticString) in
                verb.withUTF8Buffer { bytes.prefix($0.count).elementsEqual($0) }
            }
        return isRetrieval && bytes.count <= retrievalLineBytesMax ? .needMore : .notAClient
    }

    private func parseLine(_ line: UnsafeRawBufferPointer, _ lineBytes: Int) -> ParseResult {
        // Two bytes and a line's end are the least that a command has.
        guard lineBytes >= 4 else { return .refused(.malformed, lineBytes: lineBytes, isSilent: false) }
        let words = Words(line)
        guard words.count > 0 else { return .refused(.error, lineBytes: lineBytes, isSilent: false) }
        let outcome = request(words, line)
        switch outcome {
        case .request(let request): return .request(request, lineBytes: lineBytes)
        case .refused(let refusal, let blockBytes):
            let isSilent = refusal != .error && refusal != .malformed && words.isSilent(line)
            return .refused(refusal, lineBytes: lineBytes, isSilent: isSilent, blockBytes: blockBytes)
        case .retrieval(let verb, let exptime, let from):
            return retrieval(verb, exptime: exptime, line, from: from, lineBytes)
        case .notAClient: return .notAClient
        }
    }

    enum LineOutcome {
        case request(Request)
        case refused(Refusal, blockBytes: Int = 0)
        case retrieval(RetrievalVerb, exptime: Int64, from: Int)
        case notAClient
    }

    /// One family of verbs after the other; a family answers nil for verbs that are not its own.
    private func request(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        let verb = UnsafeRawBufferPointer(rebasing: line[words[0]])
        return parseRetrieval(verb, words, line) ?? parseStorage(verb, words, line) ?? parseUpdate(verb, words, line)
            ?? parseAdministration(verb, words, line) ?? unknown(words, line)
    }

    /// A line that ends in `HTTP/…` comes from a browser, or from somebody who would have one talk to us.
    private func unknown(_ words: Words, _ line: UnsafeRawBufferPointer) -> LineOutcome {
        let protocolName: StaticString = "HTTP/"
        let last = line[words[words.count - 1]]
        let isHTTP = protocolName.withUTF8Buffer { last.prefix($0.count).elementsEqual($0) }
        return isHTTP ? .notAClient : .refused(.error)
    }

    // MARK: Retrieval

    private func parseRetrieval(
        _ verb: UnsafeRawBufferPointer, _ words: Words, _ line: UnsafeRawBufferPointer
    ) -> LineOutcome? {
        if isWord(verb, "get") || isWord(verb, "gets") {
            guard words.count > 1 else { return .refused(.malformed) }
            return .retrieval(verb.count == 3 ? .get : .gets, exptime: 0, from: words[1].lowerBound)
        }
        if isWord(verb, "gat") || isWord(verb, "gats") {
            guard words.count > 2 else { return .refused(.malformed) }
            guard let exptime = signedNumber(line, words[1]) else { return .refused(.badExptime) }
            return .retrieval(verb.count == 3 ? .gat : .gats, exptime: exptime, from: words[1].upperBound)
        }
        return nil
    }

    /// Checks the keys' lengths before any is answered.
    private func retrieval(
        _ verb: RetrievalVerb, exptime: Int64, _ line: UnsafeRawBufferPointer, from: Int, _ lineBytes: Int
    ) -> ParseResult {
        var at = from
        var hasKey = false
        while at < line.count {
            let end = KeyScan.blank(line, from: at)
            if end - at > Self.keyBytesMax { return refusedKey(lineBytes) }
            if end > at { hasKey = true }
            at = end + 1
        }
        guard hasKey else { return .refused(.malformed, lineBytes: lineBytes, isSilent: false) }
        return .request(.retrieval(verb, exptime: exptime, keys: from..<line.count), lineBytes: lineBytes)
    }

    private func refusedKey(_ lineBytes: Int) -> ParseResult {
        .refused(.badFormat, lineBytes: lineBytes, isSilent: false)
    }
}

// MARK: - Words and numbers

/// The blank-separated words of a line; up to eight, which is more than any command takes.
struct Words {
    private var starts = InlineArray<8, Int>(repeating: 0)
    private var ends = InlineArray<8, Int>(repeating: 0)
    private(set) var count = 0

    init(_ line: UnsafeRawBufferPointer) {
        var at = 0
        while at < line.count, count < 8 {
            while at < line.count, line[at] == 0x20 { at += 1 }
            guard at < line.count else { break }
            starts[count] = at
            while at < line.count, line[at] != 0x20 { at += 1 }
            ends[count] = at
            count += 1
        }
    }

    subscript(word: Int) -> Range<Int> { starts[word]..<ends[word] }

    /// Whether the last word is `noreply`.
    func isSilent(_ line: UnsafeRawBufferPointer) -> Bool {
        count > 1 && isWord(UnsafeRawBufferPointer(rebasing: line[self[count - 1]]), "noreply")
    }
}

@inline(__always)
func isWord(_ bytes: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
    bytes.count == word.utf8CodeUnitCount && memcmp(bytes.baseAddress!, word.utf8Start, bytes.count) == 0
}

/// A decimal with an optional `+`; nil when it is none or does not fit.
func unsignedNumber(_ line: UnsafeRawBufferPointer, _ word: Range<Int>) -> UInt64? {
    var at = word.lowerBound
    if at < word.upperBound, line[at] == UInt8(ascii: "+") { at += 1 }
    guard at < word.upperBound else { return nil }
    var number: UInt64 = 0
    while at < word.upperBound {
        let digit = line[at] &- UInt8(ascii: "0")
        guard digit < 10 else { return nil }
        let (product, overflows) = number.multipliedReportingOverflow(by: 10)
        let (sum, carries) = product.addingReportingOverflow(UInt64(digit))
        if overflows || carries { return nil }
        number = sum
        at += 1
    }
    return number
}

func signedNumber(_ line: UnsafeRawBufferPointer, _ word: Range<Int>) -> Int64? {
    guard line[word.lowerBound] == UInt8(ascii: "-") else {
        return unsignedNumber(line, word).flatMap { Int64(exactly: $0) }
    }
    guard word.count > 1, line[word.lowerBound + 1] != UInt8(ascii: "+") else { return nil }
    let magnitude = unsignedNumber(line, (word.lowerBound + 1)..<word.upperBound)
    return magnitude.flatMap { $0 <= UInt64(Int64.max) ? -Int64($0) : nil }
}
