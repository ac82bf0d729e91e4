// The lines of mg, ms, md, ma and me: key, flags with their tokens, and what of them a command needs.
//
// Unsafe: reads the line through a raw buffer, within its count.

import Engine

extension RequestParser {
    static let metaWordsMax = 19
    static let opaqueBytesMax = 32

    /// Which meta command a verb names; `mn` is none of these, as it takes nothing.
    static func metaVerb(_ verb: UnsafeRawBufferPointer) -> MetaVerb? {
        guard verb.count == 2, verb[0] == UInt8(ascii: "m") else { return nil }
        switch verb[1] {
        case UInt8(ascii: "g"): return .get
        case UInt8(ascii: "s"): return .set
        case UInt8(ascii: "d"): return .delete
        case UInt8(ascii: "a"): return .arithmetic
        case UInt8(ascii: "e"): return .inspect
        default: return nil
        }
    }

    /// Parses a whole line, without its end. `now`: what relative times count from. Cost: one pass.
    func parseMeta(_ verb: MetaVerb, _ line: UnsafeRawBufferPointer, now: UInt32) -> MetaParseResult {
        var words = WordCursor(line: line, at: 0)
        _ = words.next()
        guard let key = words.next() else { return .refused(.malformed, blockBytes: nil) }
        var request = MetaRequest(command: MetaCommand(Self.commandVerb(verb)), key: key, flags: words.at..<line.count)
        var blockBytes: Int?
        if verb == .set {
            guard let length = words.next(), let bytes = unsignedNumber(line, length), bytes <= Self.valueBytesMax
            else {
                return .refused(.badFormat, blockBytes: nil)
            }
            request.valueBytes = Int(bytes)
            request.flags = words.at..<line.count
            blockBytes = request.valueBytes
        }
        guard key.count <= Self.keyBytesMax else { return .refused(.badFormat, blockBytes: blockBytes) }
        if verb == .inspect { return inspection(request, line) }
        var flags = MetaFlags(now: now)
        guard let refusal = flags.parse(line, request, verb) else {
            request.command = flags.command(for: verb)
            request.isBinaryKey = flags.isBinaryKey
            request.isQuiet = flags.isQuiet
            return .request(request)
        }
        return .refused(refusal, blockBytes: blockBytes)
    }

    private func inspection(_ request: MetaRequest, _ line: UnsafeRawBufferPointer) -> MetaParseResult {
        var request = request
        var words = WordCursor(line: line, at: request.flags.lowerBound)
        if let flag = words.next(), isWord(UnsafeRawBufferPointer(rebasing: line[flag]), "b") {
            guard Base64.decodedCount(UnsafeRawBufferPointer(rebasing: line[request.key])) != nil else {
                return .refused(.badFormat, blockBytes: nil)
            }
            request.isBinaryKey = true
        }
        return .request(request)
    }

    private static func commandVerb(_ verb: MetaVerb) -> MetaCommand.Verb {
        switch verb {
        case .get: .get
        case .set: .set
        case .delete: .delete
        case .arithmetic: .increment
        case .inspect: .inspect
        }
    }
}

/// The flags of one line. All commands know all flags; each takes what concerns it.
private struct MetaFlags {
    let now: UInt32
    var fields = MetaCommand(.get)
    var isBinaryKey = false
    var isQuiet = false
    private var mode: UInt8 = 0
    private var seen: (UInt64, UInt64) = (0, 0)
    private var error: Refusal?
    private var touchExpiry: Expiry?

    init(now: UInt32) { self.now = now }

    /// Nil when all is well. A flag that is unknown or comes twice ends the search; of other errors the last one counts.
    mutating func parse(_ line: UnsafeRawBufferPointer, _ request: MetaRequest, _ verb: MetaVerb) -> Refusal? {
        var words = WordCursor(line: line, at: request.flags.lowerBound)
        var count = verb == .set ? 3 : 2
        var isOpaqueTooLong = false
        let hidesReason = verb == .delete || verb == .arithmetic
        while words.next() != nil {
            count += 1
            if count > RequestParser.metaWordsMax { return .tooManyFlags }
        }
        words = WordCursor(line: line, at: request.flags.lowerBound)
        while let word = words.next() {
            let flag = line[word.lowerBound]
            guard flag < 127, isNew(flag) else { return hidesReason ? .invalidOrDuplicateFlag : .duplicateFlag }
            if flag == UInt8(ascii: "O") { isOpaqueTooLong = word.count > RequestParser.opaqueBytesMax }
            guard take(flag, line, (word.lowerBound + 1)..<word.upperBound) else {
                return hidesReason ? .invalidOrDuplicateFlag : .invalidFlag
            }
            if flag == UInt8(ascii: "b"),
                Base64.decodedCount(UnsafeRawBufferPointer(rebasing: line[request.key])) == nil
            {
                error = .badKeyEncoding
            }
        }
        if let error { return hidesReason ? .invalidOrDuplicateFlag : error }
        if let refusal = takeMode(verb) { return refusal }
        return isOpaqueTooLong ? .opaqueTooLong : nil
    }

    private mutating func isNew(_ flag: UInt8) -> Bool {
        let bit: UInt64 = 1 << UInt64(flag & 63)
        if flag < 64 {
            defer { seen.0 |= bit }
            return seen.0 & bit == 0
        }
        defer { seen.1 |= bit }
        return seen.1 & bit == 0
    }

    /// False when there is no such flag.
    private mutating func take(_ flag: UInt8, _ line: UnsafeRawBufferPointer, _ token: Range<Int>) -> Bool {
        switch flag {
        case UInt8(ascii: "v"): fields.options.insert(.wantsValue)
        case UInt8(ascii: "q"): isQuiet = true
        case UInt8(ascii: "b"): isBinaryKey = true
        case UInt8(ascii: "u"): fields.options.insert(.leavesNoTrace)
        case UInt8(ascii: "l"): fields.options.insert(.keepsAccess)
        case UInt8(ascii: "I"): fields.options.insert(.invalidates)
        case UInt8(ascii: "x"): fields.options.insert(.removesValue)
        // P and L are for proxies; the others only shape the answer.
        case UInt8(ascii: "O"), UInt8(ascii: "P"), UInt8(ascii: "L"), UInt8(ascii: "k"), UInt8(ascii: "s"),
            UInt8(ascii: "t"), UInt8(ascii: "c"), UInt8(ascii: "f"), UInt8(ascii: "h"):
            break
        case UInt8(ascii: "M"):
            if token.count == 1 { mode = line[token.lowerBound] } else { error = .badModeLength }
        case UInt8(ascii: "T"), UInt8(ascii: "N"), UInt8(ascii: "R"): takeTime(flag, line, token)
        default: return takeNumber(flag, line, token)
        }
        return true
    }

    private mutating func takeTime(_ flag: UInt8, _ line: UnsafeRawBufferPointer, _ token: Range<Int>) {
        guard !token.isEmpty, let exptime = signedNumber(line, token) else {
            error = .badToken
            return
        }
        let expiry = Expiry(exptime: exptime, now: now)
        switch flag {
        case UInt8(ascii: "T"):
            fields.options.insert(.touches)
            fields.expiry = expiry
            // After an N it also counts for what N creates.
            if fields.options.contains(.vivifies) { touchExpiry = expiry }
        case UInt8(ascii: "N"):
            fields.options.insert(.vivifies)
            fields.vivifyExpiry = expiry
        default:
            fields.options.insert(.recaches)
            if fields.options.contains(.touches) { fields.options.insert(.recachesTouched) }
            fields.recacheExpiry = expiry
        }
    }

    private mutating func takeNumber(_ flag: UInt8, _ line: UnsafeRawBufferPointer, _ token: Range<Int>) -> Bool {
        let number = token.isEmpty ? nil : unsignedNumber(line, token)
        switch flag {
        case UInt8(ascii: "F"):
            guard let number, let flags = UInt32(exactly: number) else { return note(.badFormat) }
            fields.flags = flags
        case UInt8(ascii: "C"):
            guard let number else { return note(.badToken) }
            fields.options.insert(.comparesUnique)
            fields.unique = number
        case UInt8(ascii: "E"):
            guard let number else { return note(.badToken) }
            fields.options.insert(.setsUnique)
            fields.newUnique = number
        case UInt8(ascii: "J"):
            guard let number else { return note(.badInitial) }
            fields.initial = number
        case UInt8(ascii: "D"):
            guard let number else { return note(.badMetaDelta) }
            fields.delta = number
        default: return false
        }
        return true
    }

    private mutating func note(_ refusal: Refusal) -> Bool {
        error = refusal
        return true
    }

    private mutating func takeMode(_ verb: MetaVerb) -> Refusal? {
        guard mode != 0 else { return nil }
        let letter = Character(UnicodeScalar(mode))
        switch verb {
        case .set:
            guard
                let storeVerb = ["E": .add, "A": .append, "P": .prepend, "R": .replace, "S": .set][letter] as StoreVerb?
            else { return .badSetMode }
            fields.storeVerb = storeVerb
        case .arithmetic:
            guard "I+D-".contains(letter) else { return .badArithmeticMode }
            if "D-".contains(letter) { fields.verb = .decrement }
        case .get, .delete, .inspect: break
        }
        return nil
    }

    func command(for verb: MetaVerb) -> MetaCommand {
        var command = fields
        switch verb {
        case .get: command.verb = .get
        case .set: command.verb = .set
        case .delete: command.verb = .delete
        case .arithmetic: command.verb = fields.verb == .decrement ? .decrement : .increment
        case .inspect: command.verb = .inspect
        }
        if let touchExpiry, verb == .get || verb == .arithmetic { command.vivifyExpiry = touchExpiry }
        return command
    }
}
