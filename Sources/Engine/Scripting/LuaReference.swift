// Handles that keep a Lua value alive from Swift and let go of it from any thread.

import CLua
import Synchronization

/// A function, environment or coroutine of one state. Letting go of it is safe on any thread: the state frees it at its
/// next call.
package final class LuaReference {
    let state: LuaState
    let index: Int32

    /// Takes the value on top of `thread`, and pops it.
    init(_ state: LuaState, popping thread: OpaquePointer) {
        self.state = state
        index = luaL_ref(thread, LuaState.registry)
    }

    deinit { state.released.add(index) }

    func push(on thread: OpaquePointer) { lua_rawgeti(thread, LuaState.registry, lua_Integer(index)) }
}

/// The globals of one script or of several that belong together; what it does not define comes from the sandbox.
package struct LuaEnvironment {
    let reference: LuaReference
}

/// Registry indices that nobody holds any more.
final class ReleasedReferences: Sendable {
    private let indices = Mutex<[Int32]>([])

    func add(_ index: Int32) { indices.withLock { $0.append(index) } }

    func takeAll() -> [Int32] {
        indices.withLock { indices in
            guard !indices.isEmpty else { return [] }
            defer { indices.removeAll(keepingCapacity: true) }
            return indices
        }
    }
}
