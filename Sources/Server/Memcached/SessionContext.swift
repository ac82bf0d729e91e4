// What the parts of a session work with: who knows where keys live, this node's items and objects, limits, counters, the time.

import Engine
import Gather

/// The same for the life of a session, but for the time, which is that of the turn under way.
final class SessionContext<Routing: CommandRouter> {
    let router: Routing
    let stores: ItemStores
    let objects: ObjectHosts?
    let links: PeerLinks?
    let configuration: SessionConfiguration
    let statistics: MemcachedStatistics
    let counters: SessionCounters
    let parser: RequestParser
    /// Where answers from elsewhere arrive.
    let inbox: CompletionInbox
    /// In unix seconds.
    private(set) var now: UInt32 = 0
    let client: ClientAddress
    /// What the client may do now; nothing as long as it has to say who it is.
    var roles: Roles
    /// It may read and write, and so do whatever a plain request asks for.
    var mayDoPlain: Bool { roles.includes(.write) }

    init(
        router: Routing, links: PeerLinks?, configuration: SessionConfiguration, statistics: MemcachedStatistics,
        counters: SessionCounters, inbox: CompletionInbox, client: ClientAddress
    ) {
        self.router = router
        stores = router.stores
        objects = router.objects
        self.links = links
        self.configuration = configuration
        self.statistics = statistics
        self.counters = counters
        self.inbox = inbox
        self.client = client
        roles = OpenAccess(asksForPassword: configuration.credentials != nil, openRoles: configuration.openRoles)
            .roles(isLocal: client.isLocal)
        parser = RequestParser(retrievalLineBytesMax: configuration.retrievalLineBytesMax)
    }

    /// A turn begins.
    @inline(__always)
    func begin(_ now: UInt32) {
        self.now = now
        router.carryOutFlush(now: now)
    }
}
