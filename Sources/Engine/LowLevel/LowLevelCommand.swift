// The command that a handler gets, and the items it makes of it: objects that scripts call methods on. Unsafe: one buffer
// for a number's text.

import CLua

/// What a client asked for, as a script sees and changes it.
final class LowLevelCommand: LuaHostObject {
    static let luaTypeName = "Command"

    let verb: String
    var key: [UInt8]
    var data: [UInt8]
    var flags: UInt32 = 0
    /// As memcached takes it: seconds from now, an instant, or 0.
    var expiryTime: Int64 = 0
    var delta: Int64 = 0
    var noReply: Int64 = 0
    /// What the script wrote for the client.
    var output: [UInt8] = []
    static let outputBytesMax = 8 << 20

    /// Unix seconds when the command came.
    private let second: UInt32

    init(verb: String, key: [UInt8], data: [UInt8], second: UInt32) {
        self.second = second
        self.verb = verb
        self.key = key
        self.data = data
    }

    private func write(_ bytes: [UInt8]) throws(Failure) {
        guard output.count + bytes.count <= Self.outputBytesMax else {
            throw Failure(.budgetExceeded, "the answer has more than \(Self.outputBytesMax) bytes")
        }
        output.append(contentsOf: bytes)
    }

    private func writeItem(_ item: LowLevelItem) throws(Failure) {
        try write(Array("VALUE ".utf8) + item.key + Array(" \(item.flags) \(item.data.count)\r\n".utf8))
        try write(item.data + [13, 10])
    }

    private static func getter(_ value: @escaping @Sendable (LowLevelCommand) -> Value) -> LuaMethod {
        LuaMethod(LowLevelCommand.self) { (command, _) throws(Failure) in .value(value(command)) }
    }

    private static func setter(
        _ name: String, _ set: @escaping @Sendable (LowLevelCommand, Int64) -> Void
    ) -> LuaMethod {
        LuaMethod(LowLevelCommand.self) { (command, arguments) throws(Failure) in
            guard let number = arguments.first?.plain?.lowLevelNumber else {
                throw Failure(.scriptError, "\(name) needs a number")
            }
            set(command, number)
            return .nothing
        }
    }

    private static func textMethod(
        _ name: String, _ body: @escaping @Sendable (LowLevelCommand, [UInt8]) throws(Failure) -> Value
    ) -> LuaMethod {
        LuaMethod(LowLevelCommand.self) { (command, arguments) throws(Failure) in
            guard let bytes = arguments.first?.plain?.lowLevelBytes else {
                throw Failure(.scriptError, "\(name) needs a string")
            }
            return .value(try body(command, bytes))
        }
    }

    static var luaMethods: [String: LuaMethod] {
        var methods = [
            "getCommand": getter { .string($0.verb) },
            "getKey": getter { .bytes($0.key) },
            "getKeySize": getter { .int(Int64($0.key.count)) },
            "getData": getter { $0.data.isEmpty ? .null : .bytes($0.data) },
            "getDataSize": getter { .int(Int64($0.data.count)) },
            "getFlags": getter { .int(Int64($0.flags)) },
            "getExpiryTime": getter { .double(Double($0.expiryTime)) },
            "getDelta": getter { .double(Double($0.delta)) },
            "getNoReply": getter { .int($0.noReply) },
            // A handler is called for each key by itself.
            "hasMultipleKeys": getter { _ in .int(0) },
            "getMultipleKeys": getter { _ in .null },
            "setFlags": setter("setFlags") { $0.flags = UInt32(truncatingIfNeeded: $1) },
            "setExpiryTime": setter("setExpiryTime") { $0.expiryTime = $1 },
            "setDelta": setter("setDelta") { $0.delta = $1 },
            "setNoReply": setter("setNoReply") { $0.noReply = $1 },
        ]
        methods["setKey"] = textMethod("setKey") { (command, bytes) throws(Failure) in
            command.key = bytes
            return .null
        }
        methods["setData"] = textMethod("setData") { (command, bytes) throws(Failure) in
            command.data = bytes
            return .null
        }
        methods["writeString"] = textMethod("writeString") { (command, bytes) throws(Failure) in
            try command.write(bytes)
            return .int(0)
        }
        methods["newCacheItem"] = LuaMethod(LowLevelCommand.self) { (command, _) throws(Failure) in
            let expiry = Expiry(exptime: command.expiryTime, now: command.second)
            return .object(
                LowLevelCacheItem(
                    LowLevelItem(key: command.key, data: command.data, flags: command.flags, expiry: expiry)))
        }
        methods["writeCacheItem"] = LuaMethod(LowLevelCommand.self) { (command, arguments) throws(Failure) in
            guard let item = arguments.first?.object(as: LowLevelCacheItem.self) else {
                throw Failure(.scriptError, "writeCacheItem needs an item")
            }
            try command.writeItem(item.item)
            return .value(.int(0))
        }
        for tag in [ClusterQuestions.single, ClusterQuestions.parallel] {
            methods[tag] = LuaMethod(LowLevelCommand.self) { (_, arguments) throws(Failure) in
                .yield(tag, try arguments.plain(in: tag))
            }
        }
        return methods
    }
}

/// An item that a script took out of the cache or means to put there.
final class LowLevelCacheItem: LuaHostObject {
    static let luaTypeName = "CacheItem"
    let item: LowLevelItem

    init(_ item: LowLevelItem) { self.item = item }

    var hostBytes: Int { LuaState.objectBytes + item.key.count + item.data.count }

    private static func getter(_ value: @escaping @Sendable (LowLevelItem) -> Value) -> LuaMethod {
        LuaMethod(LowLevelCacheItem.self) { (object, _) throws(Failure) in .value(value(object.item)) }
    }

    static var luaMethods: [String: LuaMethod] {
        [
            "getKey": getter { .bytes($0.key) },
            "getKeySize": getter { .int(Int64($0.key.count)) },
            "getData": getter { .bytes($0.data) },
            "getDataSize": getter { .int(Int64($0.data.count)) },
            "getFlags": getter { .int(Int64($0.flags)) },
            "getExpiryTime": getter { .int(Int64($0.expiry.stored)) },
            // There is nothing to give back: it goes when the script lets go of it.
            "delete": getter { _ in .null },
        ]
    }
}

extension Value {
    /// A string, or a number as Lua 5.1 wrote it.
    var lowLevelBytes: [UInt8]? {
        switch self {
        case .bytes(let bytes): bytes
        case .int(let number): Self.lowLevelText(Double(number))
        case .double(let number): Self.lowLevelText(number)
        default: nil
        }
    }

    /// By 14 digits: `4`, `0.1`, `1e+15`.
    static func lowLevelText(_ number: Double) -> [UInt8] {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(CLUA_NUMBER_BYTES_MAX)) { text in
            let count = Int(clua_write_number(number, text.baseAddress))
            return text[..<count].map { UInt8(bitPattern: $0) }
        }
    }

    /// A number, or a string that is one.
    var lowLevelNumber: Int64? {
        switch self {
        case .int(let number): number
        case .double(let number): Int64(exactly: number.rounded(.towardZero))
        case .bytes: text.flatMap { Int64($0) ?? Double($0).flatMap { Int64(exactly: $0.rounded(.towardZero)) } }
        case .bool(let flag): flag ? 1 : 0
        default: nil
        }
    }
}
