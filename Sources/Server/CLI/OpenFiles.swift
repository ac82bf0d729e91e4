// Room for connections: raises the limit of open files to what they need.

import Glibc

package enum OpenFiles {
    /// What a node opens besides its clients' connections: event loops, listeners, peers, scripts, and a few clients that
    /// are only told that they are one too many.
    package static func reserve(threads: Int, nodes: Int) -> Int { 64 + 4 * threads + 4 * threads * nodes }

    /// Raises the soft limit, and the hard one where the process may, until `connections` and `reserve` fit. Returns how
    /// many connections do, at least 1: fewer than asked for where the system does not allow it.
    package static func makeRoom(connections: Int, reserve: Int) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return connections }
        let needed = rlim_t(connections + reserve)
        guard limit.rlim_cur < needed else { return connections }
        var wider = rlimit(rlim_cur: needed, rlim_max: max(limit.rlim_max, needed))
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &wider) == 0 { return connections }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return max(1, min(connections, Int(clamping: limit.rlim_cur) - reserve))
    }
}
