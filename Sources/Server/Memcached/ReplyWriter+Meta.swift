// The answers to meta commands: a status, then what the line's flags asked for, in their order.
//
// Unsafe: reads flags, key and value through raw buffers, within their counts.

import Engine

/// What of a meta line its answer needs.
struct MetaEcho {
    let verb: MetaVerb
    /// As sent.
    let key: UnsafeRawBufferPointer
    let isBinaryKey: Bool
    let flags: UnsafeRawBufferPointer
    let isQuiet: Bool
    let wantsValue: Bool
    /// The unique that the client has the value of already: where it is still that, the value is not sent.
    var knownUnique: UInt64?
}

extension ReplyBuffer {
    /// Nothing in quiet mode where the answer is the expected one. `now`: what `t` counts from. `isPinned`: the value's place is
    /// left out, before the last line end; answers whether there is one.
    @discardableResult
    mutating func writeMeta(
        _ echo: MetaEcho, _ status: MetaStatus, _ facts: MetaFacts, value: UnsafeRawBufferPointer, now: UInt32,
        isPinned: Bool = false
    ) -> Bool {
        switch status {
        case .notANumber, .tooLarge, .outOfMemory: writeMetaError(echo.verb, status)
        case .miss where echo.verb == .get && echo.isQuiet: break
        // A number that had to be created is news, as in memcached.
        case .found where echo.verb != .get && echo.isQuiet && !facts.hasWon: break
        case .found where echo.verb == .inspect: writeInspection(echo, facts, now)
        case .miss where echo.verb == .inspect: writeLine("EN\r\n")
        default:
            let isKnown = echo.knownUnique != nil && echo.knownUnique == facts.unique
            let answersValue =
                status == .found && echo.wantsValue && (echo.verb == .get ? !isKnown : echo.verb == .arithmetic)
            if answersValue {
                writeLine("VA ")
                writeDecimal(UInt64(value.count))
            } else {
                writeLine(Self.code(echo.verb, status))
            }
            writeMetaFlags(echo, status, facts, now)
            writeLine("\r\n")
            guard answersValue else { return false }
            if !isPinned { writeBytes(value) }
            writeLine("\r\n")
            return isPinned
        }
        return false
    }

    private static func code(_ verb: MetaVerb, _ status: MetaStatus) -> StaticString {
        switch status {
        case .found: "HD"
        case .miss: verb == .get ? "EN" : "NF"
        case .exists: "EX"
        default: "NS"
        }
    }

    private mutating func writeMetaError(_ verb: MetaVerb, _ status: MetaStatus) {
        switch status {
        case .notANumber: writeOutcome(.notANumber)
        case .tooLarge: writeOutcome(.tooLarge)
        default:
            if verb == .set { writeOutcome(.outOfMemory) } else { writeLine("SERVER_ERROR out of memory\r\n") }
        }
    }

    private mutating func writeMetaFlags(_ echo: MetaEcho, _ status: MetaStatus, _ facts: MetaFacts, _ now: UInt32) {
        var words = WordCursor(line: echo.flags, at: 0)
        var expiry = facts.expiryBefore
        while let word = words.next() {
            let flag = echo.flags[word.lowerBound]
            switch flag {
            case UInt8(ascii: "O"):
                writeByte(0x20)
                writeBytes(UnsafeRawBufferPointer(rebasing: echo.flags[word]))
            case UInt8(ascii: "k"):
                writeLine(" k")
                writeBytes(echo.key)
                if echo.isBinaryKey { writeLine(" b") }
            case UInt8(ascii: "T"), UInt8(ascii: "N"): expiry = facts.expiry
            default: writeFact(flag, echo.verb, status, facts, expiry, now)
            }
        }
        guard echo.verb == .get, status == .found else { return }
        if facts.wasWonBefore { writeLine(" Z") }
        if facts.isStale { writeLine(" X") }
        if facts.hasWon { writeLine(" W") }
    }

    /// Each command answers its own choice of flags; the others are for other commands.
    private mutating func writeFact(
        _ flag: UInt8, _ verb: MetaVerb, _ status: MetaStatus, _ facts: MetaFacts, _ expiry: Expiry, _ now: UInt32
    ) {
        if verb == .set {
            if flag == UInt8(ascii: "c") { writeFlag(flag, facts.unique) }
            if flag == UInt8(ascii: "s") { writeFlag(flag, UInt64(facts.valueBytes)) }
            return
        }
        guard status == .found, verb == .get || verb == .arithmetic else { return }
        switch flag {
        case UInt8(ascii: "c"): writeFlag(flag, facts.unique)
        case UInt8(ascii: "t"):
            if let left = expiry.remaining(at: now) { writeFlag(flag, UInt64(max(0, left))) } else { writeLine(" t-1") }
        case UInt8(ascii: "s") where verb == .get: writeFlag(flag, UInt64(facts.valueBytes))
        case UInt8(ascii: "f") where verb == .get: writeFlag(flag, UInt64(facts.flags))
        case UInt8(ascii: "l") where verb == .get: writeFlag(flag, UInt64(facts.idleSeconds))
        case UInt8(ascii: "h") where verb == .get: writeFlag(flag, facts.wasRead ? 1 : 0)
        default: break
        }
    }

    /// `exp` is -1 where there is no end, as in memcached.
    private mutating func writeInspection(_ echo: MetaEcho, _ facts: MetaFacts, _ now: UInt32) {
        writeLine("ME ")
        writeBytes(echo.key)
        let exp = facts.expiry.remaining(at: now) ?? -1
        writeString(
            " exp=\(exp) la=\(facts.idleSeconds) cas=\(facts.unique) fetch=\(facts.wasRead ? "yes" : "no") cls=1"
                + " size=\(facts.totalBytes)\r\n")
    }

    private mutating func writeFlag(_ flag: UInt8, _ number: UInt64) {
        writeByte(0x20)
        writeByte(flag)
        writeDecimal(number)
    }

    mutating func writeDecimal(_ number: UInt64) {
        let target = UnsafeMutableRawBufferPointer(start: room(for: Decimal.digitsMax), count: Decimal.digitsMax)
        didWrite(Decimal.write(number, to: target))
    }
}
