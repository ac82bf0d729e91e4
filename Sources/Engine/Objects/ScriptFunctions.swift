// What methods can call beside Lua's own functions: json, msgpack, hash, log and print. Unsafe pointers inside.

import CLua

enum ScriptFunctions {
    /// What an encoded value, or the text of one to decode, may have.
    private static let codecBytesMax = 8 << 20

    /// What numbers are to the scripts of a state: integers and floats as in Lua 5.4, or doubles only as in Lua 5.1.
    enum Numbers { case integersAndFloats, doubles }

    static func register(
        in state: LuaState, numbers: Numbers = .integersAndFloats, log: @escaping @Sendable (String) -> Void
    ) {
        registerCodec(
            "json", in: state, numbers,
            encode: { (value, pace) throws(Failure) in try value.json(bytesMax: codecBytesMax, pace) },
            decode: { (text, lease, pace) throws(Failure) in try Value(parsingJSON: text, lease: lease, pace) })
        registerCodec(
            "msgpack", in: state, numbers, encode: { (value, pace) throws(Failure) in try value.messagePack(pace) },
            decode: { (bytes, lease, pace) throws(Failure) in
                try Value(parsingMessagePack: bytes, lease: lease, pace)
            })
        // All scripts share them.
        for name in ["json", "msgpack"] { clua_lock_global(state.main, name) }
        registerHash(in: state)
        registerCopy(in: state)
        clua_open_arguments(state.main)
        state.registerLog(log)
    }

    /// `name.encode(value)` gives text, `name.decode(text)` the value, or nil and a message. A null is nil.
    private static func registerCodec(
        _ name: String, in state: LuaState, _ numbers: Numbers,
        encode: @escaping (Value, WorkPace) throws(Failure) -> [UInt8]?,
        decode: @escaping ([UInt8], MemoryLease?, WorkPace) throws(Failure) -> Value
    ) {
        let (encoding, decoding) = (LuaForm("\(name).encode(value)", 1), LuaForm("\(name).decode(text)", 1))
        state.registerRaw("\(name).encode") { state, thread in
            do throws(Failure) {
                try encoding.check(Int(lua_gettop(thread)))
                let value = try state.readValue(thread, 1, bytesMax: codecBytesMax, forJSON: name == "json")
                let plain = numbers == .doubles ? value.inIntegers : value
                guard let bytes = try encode(plain, state.pace(isCharged: false)) else {
                    throw Failure(.budgetExceeded, "\(encoding.text): more than \(codecBytesMax >> 20) MiB")
                }
                state.charge(bytes.count / 4)
                bytes.withUnsafeBytes { state.push(bytes: $0, on: thread) }
                return 1
            } catch {
                return state.raise(error, on: thread)
            }
        }
        state.registerRaw("\(name).decode") { state, thread in
            do throws(Failure) {
                try decoding.check(Int(lua_gettop(thread)))
                guard lua_type(thread, 1) == LUA_TSTRING, lua_rawlen(thread, 1) <= codecBytesMax else {
                    throw Failure(.scriptError, "\(name).decode needs a string of at most \(codecBytesMax >> 20) MiB")
                }
                let bytes = state.stringBytes(thread, 1)
                state.charge(bytes.count / 2)
                let lease = state.lease(for: "what is decoded")
                do throws(Failure) {
                    let value = try decode(bytes, lease, state.pace(isCharged: false))
                    try state.push(numbers == .doubles ? value.inDoubles : value, on: thread)
                } catch {
                    // What is no mistake in the text ends the call.
                    guard error.reason == .scriptError else { throw error }
                    lua_settop(thread, 1)  // without what of a table was pushed
                    lua_pushnil(thread)
                    state.push(text: error.message, on: thread)
                    return 2
                }
                return 1
            } catch {
                return state.raise(error, on: thread)
            }
        }
    }

    /// `copy(value)`: plain data that shares nothing with what it was, also of other objects.
    private static func registerCopy(in state: LuaState) {
        state.registerRaw("copy") { state, thread in
            do throws(Failure) {
                guard lua_gettop(thread) > 0 else { throw Failure(.scriptError, "copy needs a value") }
                let before = state.memoryBytes
                let value = try state.readValue(thread, 1, bytesMax: codecBytesMax)
                try state.push(value, on: thread)
                state.charge(max(0, state.memoryBytes - before) / 4)
                return 1
            } catch {
                return state.raise(error, on: thread)
            }
        }
    }

    /// `hash(text[, seed])`: 64 bits, the same on every node and in every version.
    private static func registerHash(in state: LuaState) {
        let form = LuaForm("hash(text, seed)", 1...2)
        state.registerRaw("hash") { state, thread in
            do throws(Failure) { try form.check(Int(lua_gettop(thread))) } catch {
                return state.raise(error, on: thread)
            }
            guard lua_type(thread, 1) == LUA_TSTRING else {
                return state.raise(Failure(.scriptError, "hash needs a string"), on: thread)
            }
            var count = 0
            guard let text = lua_tolstring(thread, 1, &count) else { return 0 }
            state.charge(count / 8)
            let bytes = UnsafeRawBufferPointer(start: text, count: count)
            let seed = UInt64(bitPattern: clua_to_integer(thread, 2))
            lua_pushinteger(thread, Int64(bitPattern: stableHash(bytes, seed: seed)))
            return 1
        }
    }

    /// FNV-1a, its bits mixed as at the end of SplitMix64.
    static func stableHash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ (seed &* 0x9E37_79B9_7F4A_7C15)
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        return hash ^ (hash >> 31)
    }
}

extension LuaState {
    /// Charges the call under way for work outside of Lua. The shim raises when it was too much, or took too long.
    func charge(_ instructions: Int) {
        control.pointee.unlooked += Int64(instructions)
        control.pointee.instructionsLeft -= Int64(instructions)
        if control.pointee.instructionsLeft < 0, control.pointee.aborted == CLUA_NOT_ABORTED {
            control.pointee.aborted = Int32(CLUA_ABORTED_INSTRUCTIONS)
        }
    }
}
