// What a session needs of whoever knows where keys live: the production router, or a test's.

package import Engine
package import Gather

package protocol CommandRouter: Sendable {
    func route(_ key: UnsafeRawBufferPointer, virtual: Bool) -> Router.Route
    /// The store of this node's keys of this hash.
    func items(forHash hash: UInt64) -> ItemStore
    /// The completions of both come once, on any thread, or before the call returns.
    func forward(
        _ command: ItemCommand, key: [UInt8], node: Int, links: PeerLinks?, completion: @escaping ItemCompletion)
    func call(_ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, completion: @escaping CallCompletion)
    /// Whether what comes after this key on a connection must wait for its answer: it may ask for what this one does.
    func holdsBack(_ key: VirtualKey) -> Bool
    /// All that was stored up to `delaySeconds` from `now` is gone, wherever it is; completes like `call`.
    func flushAll(delaySeconds: UInt32, now: UInt32, completion: @escaping CallCompletion)
    /// All stores of this node, for `stats`.
    var itemStores: [ItemStore] { get }
}

extension CommandRouter {
    package func holdsBack(_ key: VirtualKey) -> Bool { false }

    /// For a router that knows nothing but its stores.
    package func flushAll(delaySeconds: UInt32, now: UInt32, completion: @escaping CallCompletion) {
        for store in itemStores { store.flushAll(at: now &+ delaySeconds, now: now) }
        completion(.success(.null))
    }
}

extension Router: CommandRouter {
    /// Methods of objects run in the order of their calls anyway; services work in the background.
    package func holdsBack(_ key: VirtualKey) -> Bool { isService(key) }

    @inline(__always)
    package func items(forHash hash: UInt64) -> ItemStore { engine.shard(forHash: hash).items }

    package func call(_ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, completion: @escaping CallCompletion) {
        call(key, data: data, links: links, deadline: nil, completion: completion)
    }

    package var itemStores: [ItemStore] { engine.shards.map(\.items) }
}
