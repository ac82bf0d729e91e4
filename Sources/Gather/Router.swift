// Where a key is answered: here, on another node, or by a method; and the way there.

package import Engine

/// Answers arrive on any thread; whoever asked hops back to its own.
package typealias ItemCompletion = @Sendable (ItemOutcome) -> Void
package typealias CallCompletion = @Sendable (Result<Value, Failure>) -> Void

/// The links to the other nodes that belong to one event loop.
package final class PeerLinks: Sendable {}

package final class Router: Sendable {
    package enum Route: Sendable {
        /// An item of this node.
        case local
        /// An item of another node, by its index in the topology.
        case remote(node: Int)
        /// A method of an object, or a service (`frame`, `job`, `node`).
        case virtual(VirtualKey)
    }

    package let engine: Engine

    package init(engine: Engine) { self.engine = engine }

    /// Decides for one key. Cost: a byte scan for a colon; with one node nothing else.
    /// `virtual`: false for verbs that never name a method (add, delete, incr…).
    package func route(_ key: UnsafeRawBufferPointer, virtual: Bool) -> Route { .local }

    /// Runs a command on a key of this node.
    package func executeLocally(_ command: ItemCommand, key: UnsafeRawBufferPointer, now: UInt32) -> ItemOutcome {
        let hash = keyHash(key)
        return engine.shard(forHash: hash).items.execute(command, key: key, hash: hash, now: now)
    }

    /// Sends a command to the node that owns its key.
    package func forward(
        _ command: ItemCommand, key: [UInt8], node: Int, links: PeerLinks?, completion: @escaping ItemCompletion
    ) { completion(.failed(Failure(.unreachable, "no peers"))) }

    /// Calls a method or a service, wherever it lives; `data` is the last argument when it came as a data block.
    /// May complete before it returns.
    package func call(
        _ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, completion: @escaping CallCompletion
    ) { completion(.failure(Failure(.miss, "no such type"))) }
}
