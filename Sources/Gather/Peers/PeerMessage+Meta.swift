// The meta commands and their answers to and from bytes.

import Engine
import NIOCore

extension MetaCommand {
    func encode(into buffer: inout ByteBuffer) {
        buffer.writeWire(verb.rawValue)
        buffer.writeWire(options.rawValue)
        buffer.writeWire(storeVerb.rawValue)
        for number in [flags, expiry.stored, vivifyExpiry.stored, recacheExpiry.stored] { buffer.writeWire(number) }
        for number in [unique, newUnique, delta, initial] { buffer.writeWire(number) }
    }

    init?(decoding buffer: inout ByteBuffer) {
        guard let verb = buffer.readWire(UInt8.self).flatMap(Verb.init(rawValue:)),
            let options = buffer.readWire(UInt16.self),
            let storeVerb = buffer.readWire(UInt8.self).flatMap(StoreVerb.init(rawValue:)),
            let flags = buffer.readWire(UInt32.self), let expiry = buffer.readExpiry(),
            let vivifyExpiry = buffer.readExpiry(), let recacheExpiry = buffer.readExpiry(),
            let unique = buffer.readWire(UInt64.self), let newUnique = buffer.readWire(UInt64.self),
            let delta = buffer.readWire(UInt64.self), let initial = buffer.readWire(UInt64.self)
        else { return nil }
        self.init(verb)
        self.options = MetaOptions(rawValue: options)
        self.storeVerb = storeVerb
        self.flags = flags
        self.expiry = expiry
        self.vivifyExpiry = vivifyExpiry
        self.recacheExpiry = recacheExpiry
        self.unique = unique
        self.newUnique = newUnique
        self.delta = delta
        self.initial = initial
    }
}

extension MetaAnswer {
    func encode(into buffer: inout ByteBuffer) {
        buffer.writeWire(status.rawValue)
        buffer.writeWire(UInt32(facts.valueBytes))
        for number in [facts.flags, facts.expiryBefore.stored, facts.expiry.stored, facts.idleSeconds] {
            buffer.writeWire(number)
        }
        buffer.writeWire(facts.unique)
        buffer.writeWire(UInt32(facts.totalBytes))
        var marks: UInt8 = 0
        for (bit, mark) in [facts.wasRead, facts.isStale, facts.hasWon, facts.wasWonBefore].enumerated() where mark {
            marks |= 1 << bit
        }
        buffer.writeWire(marks)
        buffer.writeWire(bytes: value)
    }

    init?(decoding buffer: inout ByteBuffer) {
        guard let status = buffer.readWire(UInt8.self).flatMap(MetaStatus.init(rawValue:)),
            let valueBytes = buffer.readWire(UInt32.self), let flags = buffer.readWire(UInt32.self),
            let expiryBefore = buffer.readExpiry(), let expiry = buffer.readExpiry(),
            let idleSeconds = buffer.readWire(UInt32.self), let unique = buffer.readWire(UInt64.self),
            let totalBytes = buffer.readWire(UInt32.self), let marks = buffer.readWire(UInt8.self),
            let value = buffer.readWireBytes()
        else { return nil }
        self.init()
        self.status = status
        facts.valueBytes = Int(valueBytes)
        facts.flags = flags
        facts.expiryBefore = expiryBefore
        facts.expiry = expiry
        facts.idleSeconds = idleSeconds
        facts.unique = unique
        facts.totalBytes = Int(totalBytes)
        facts.wasRead = marks & 1 != 0
        facts.isStale = marks & 2 != 0
        facts.hasWon = marks & 4 != 0
        facts.wasWonBefore = marks & 8 != 0
        self.value = value
    }
}
