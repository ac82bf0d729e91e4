// What `log(…)` and `print(…)` say, as one line of text, cut where it gets long. Unsafe pointers inside.

import CLua

extension LuaState {
    /// What one line may have, in bytes.
    private static let loggedBytesMax = 1_000
    /// What of a table is looked at, roughly as encoded.
    private static let loggedTableBytesMax = 16 << 10

    /// Has scripts say a line to `sink`: by `log` and by `print`, which are the same.
    func registerLog(_ sink: @escaping (String) -> Void) {
        for name in ["log", "print"] {
            registerRaw(name) { state, thread in
                state.charge(1_000)
                sink(state.loggedLine(on: thread))
                return 0
            }
        }
    }

    /// The arguments of the function under way, a blank between two. No metamethod is asked for a text: it could raise, over the
    /// Swift that waits for it.
    private func loggedLine(on thread: OpaquePointer) -> String {
        var line: [UInt8] = []
        for index in 1...max(1, lua_gettop(thread)) where line.count <= Self.loggedBytesMax {
            if index > 1 { line.append(UInt8(ascii: " ")) }
            appendLogged(thread, index, to: &line)
        }
        let isCut = line.count > Self.loggedBytesMax
        let shown = line.prefix(Self.loggedBytesMax).map { $0 < 32 || $0 == 127 ? UInt8(ascii: " ") : $0 }
        return String(decoding: shown, as: UTF8.self) + (isCut ? "…" : "")
    }

    private func appendLogged(_ thread: OpaquePointer, _ index: Int32, to line: inout [UInt8]) {
        switch lua_type(thread, index) {
        case LUA_TNUMBER where control.pointee.numbersAreDoubles:
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(CLUA_NUMBER_BYTES_MAX)) { text in
                guard let start = text.baseAddress else { return }
                let count = clua_write_number(clua_to_number(thread, index), start)
                line += UnsafeRawBufferPointer(start: start, count: Int(count))
            }
        case LUA_TSTRING, LUA_TNUMBER:
            var count = 0
            guard let text = lua_tolstring(thread, index, &count) else { return }
            line += UnsafeRawBufferPointer(start: text, count: min(count, Self.loggedBytesMax + 1))
        case LUA_TBOOLEAN: line += Array((lua_toboolean(thread, index) != 0 ? "true" : "false").utf8)
        case LUA_TNIL, LUA_TNONE: line += Array("nil".utf8)
        case LUA_TTABLE:
            // One that is larger, or is no plain data, is named only.
            guard let value = try? readValue(thread, index, bytesMax: Self.loggedTableBytesMax) else { fallthrough }
            let text = value.json
            charge(text.count / 8)
            line += text
        default: line += Array(String(cString: lua_typename(thread, lua_type(thread, index))).utf8)
        }
    }
}
