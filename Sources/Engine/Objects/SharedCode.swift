// `require "name"`: code that the types' files of a folder share. Unsafe: Lua's stack.

import CLua

/// Gives the file that is loaded what it asks for, each file once, in the environment of that file: what a shared file leaves
/// behind is frozen with the type's own. One of a state, one file at a time.
final class SharedCode {
    private struct Loading {
        let sources: [String: [UInt8]]
        let environment: LuaEnvironment
        var values: [String: LuaReference] = [:]
        /// The files that are being run, one asking for the next.
        var path: [String]
    }

    private unowned let state: LuaState
    private var loading: Loading?
    /// What the file that was loaded last has asked for, and what that has.
    private(set) var used: [String: [UInt8]] = [:]
    /// The shared file that did not load, as far as one did not.
    private(set) var culprit: String?

    init(_ state: LuaState) {
        self.state = state
        state.registerRaw("require") { [unowned self] _, thread in
            do throws(Failure) {
                try require(on: thread)
                return 1
            } catch {
                return self.state.raise(error, on: thread)
            }
        }
    }

    /// While `body` runs the top level of a file, that can require these, by their names.
    func offer<R>(
        _ sources: [String: [UInt8]], to script: ObjectScript, _ environment: LuaEnvironment,
        _ body: () throws(Failure) -> R
    ) throws(Failure) -> R {
        loading = Loading(sources: sources, environment: environment, path: [script.file])
        used = [:]
        culprit = nil
        defer { loading = nil }
        return try body()
    }

    /// The value of the file that is named, on the coroutine that asks.
    private func require(on thread: OpaquePointer) throws(Failure) {
        guard let known = loading else {
            throw Failure(
                .scriptError, "require is for the top level of a type's file: keep what it gives in a local there")
        }
        lua_checkstack(thread, 8)
        guard lua_type(thread, 1) == LUA_TSTRING, lua_gettop(thread) == 1 else {
            throw Failure(.scriptError, #"require takes a name, as in require "money""#)
        }
        let name = String(decoding: state.stringBytes(thread, 1), as: UTF8.self)
        guard LoadedType.isName(name) else {
            throw Failure(
                .scriptError,
                "require '\(name.prefix(80))': name a file of the scripts' folder without its .lua, by letters, digits and _"
            )
        }
        if let value = known.values[name] { return value.push(on: thread) }
        let file = "\(name).lua"
        guard !known.path.contains(file) else {
            let circle = (known.path + [file]).joined(separator: " -> ")
            throw Failure(.scriptError, "files that require each other: \(circle)")
        }
        guard let source = known.sources[name] else {
            throw Failure(.scriptError, "there is no \(file) in the scripts' folder")
        }
        used[name] = source
        loading?.path.append(file)
        do throws(Failure) { try run(source, file, in: known.environment, on: thread) } catch {
            culprit = culprit ?? file
            throw error
        }
        loading?.path.removeLast()
        lua_pushvalue(thread, -1)
        loading?.values[name] = LuaReference(state, popping: thread)
    }

    private func run(
        _ source: [UInt8], _ file: String, in environment: LuaEnvironment, on thread: OpaquePointer
    ) throws(Failure) {
        let compiled = try state.compile(source, name: file, budget: LuaBudget(deadline: .never))
        compiled.push(on: thread)
        environment.reference.push(on: thread)
        clua_bind(thread)
        guard clua_pcall(thread, 0, 1) == LUA_OK else { throw state.popFailure(thread) }
        guard lua_type(thread, -1) != LUA_TNIL else {
            throw Failure(.scriptError, "\(file) returns nothing: end it with return { … }", about: .named(file))
        }
    }
}
