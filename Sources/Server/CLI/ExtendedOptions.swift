// memcached's `-o name[=value],…`: what means something here is taken, what tunes its slabs and lists is passed over, the
// rest is refused.

struct ExtendedOptions {
    private(set) var idleTimeoutSeconds: Int?
    /// For half-sent requests and unread answers of all connections.
    private(set) var bufferMegabytes: Int?
    /// False: expired items are not looked for, and keys not listed, before a client enables that.
    private(set) var crawls = true
    /// Names that were accepted and change nothing.
    private(set) var passedOver: [String] = []

    /// They tune slabs, LRU lists, their threads and their logs; there is nothing of the kind here.
    private static let withoutEffect: Set<String> = [
        "hashpower", "hash_algorithm", "tail_repair_time", "lru_crawler_sleep",
        "lru_crawler_tocrawl", "lru_maintainer", "no_lru_maintainer", "hot_lru_pct", "warm_lru_pct", "hot_max_factor",
        "warm_max_factor", "temporary_ttl", "slab_reassign", "no_slab_reassign", "slab_automove", "no_slab_automove",
        "slab_automove_ratio", "slab_automove_window", "slab_automove_freeratio", "slab_chunk_max", "slab_sizes",
        "watcher_logbuf_size", "worker_logbuf_size", "resp_obj_mem_limit", "no_hashexpand",
        "modern", "no_modern", "maxconns_fast", "no_inline_ascii_resp", "inline_ascii_resp", "drop_privileges",
        "relaxed_privileges",
        "no_drop_privileges",
    ]

    /// Nil and a reason for people when one of them cannot be taken.
    static func parse(_ text: String) -> (options: ExtendedOptions?, problem: String?) {
        var options = ExtendedOptions()
        for part in text.split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let name = pair[0]
            if name == "idle_timeout" {
                guard pair.count == 2, let seconds = Int(pair[1]), (0...1 << 31).contains(seconds) else {
                    return (nil, "-o idle_timeout takes seconds, as in idle_timeout=60")
                }
                options.idleTimeoutSeconds = seconds
            } else if name == "read_buf_mem_limit" {
                guard pair.count == 2, let megabytes = Int(pair[1]), (0...1 << 20).contains(megabytes) else {
                    return (nil, "-o read_buf_mem_limit takes megabytes, as in read_buf_mem_limit=64")
                }
                options.bufferMegabytes = megabytes == 0 ? nil : megabytes
            } else if name == "lru_crawler" || name == "no_lru_crawler" {
                options.crawls = name == "lru_crawler"
            } else if withoutEffect.contains(name) {
                options.passedOver.append(name)
            } else {
                return (nil, refusal(name))
            }
        }
        return (options, nil)
    }

    private static func refusal(_ name: String) -> String {
        if name == "no_maxconns_fast" {
            return "-o \(name): connections beyond -c are always refused at once; leave it out"
        }
        if name.hasPrefix("ext_") { return "-o \(name): items are kept in memory only; leave it out" }
        if name.hasPrefix("ssl_") { return "-o \(name): TLS is not served; put a proxy in front, or leave it out" }
        if name == "track_sizes" { return "-o \(name): there are no size statistics; leave it out" }
        if name == "sock_cookie_id" { return "-o \(name): sockets carry no id; leave it out" }
        return "-o \(name): no such option"
    }
}
