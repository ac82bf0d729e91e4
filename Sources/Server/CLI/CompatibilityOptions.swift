// memcached's options that have nothing to act on here: taken with a line in the log, or refused with what to do instead.

import ArgumentParser

struct CompatibilityOptions: ParsableArguments {
    @Option(
        name: [.customShort("o", allowingJoined: true), .customLong("extended")],
        help: "idle_timeout=N, read_buf_mem_limit=N, [no_]lru_crawler; tuning options are passed over.")
    var extended: [String] = []

    @Option(
        name: [.customShort("R", allowingJoined: true), .customLong("max-reqs-per-event")], help: "Passed over.")
    var requestsPerEvent: Int?

    @Option(
        name: [.customShort("f", allowingJoined: true), .customLong("slab-growth-factor")], help: "Passed over.")
    var slabGrowthFactor: Double?

    @Option(name: [.customShort("n", allowingJoined: true), .customLong("slab-min-size")], help: "Passed over.")
    var slabMinSize: Int?

    @Option(name: [.customShort("N", allowingJoined: true), .customLong("napi_ids")], help: "Passed over.")
    var napiIDs: Int?

    @Flag(name: [.customShort("L"), .customLong("enable-largepages")], help: "Passed over.")
    var largePages = false

    @Flag(name: [.customShort("C"), .customLong("disable-cas")], help: "Passed over: uniques cost no memory here.")
    var disableCas = false

    @Flag(
        name: [.customShort("X"), .customLong("disable-dumping")],
        help: "Refuse what lists keys: stats cachedump, lru_crawler metadump.")
    var disableDumping = false

    @Flag(name: [.customShort("W"), .customLong("disable-watch")], help: "Refuse watch.")
    var disableWatch = false

    @Option(
        name: [.customShort("B", allowingJoined: true), .customLong("protocol")],
        help: "Which of memcached's protocols is spoken: ascii, binary, or auto: whichever a connection begins with.")
    var wireProtocol = "auto"

    @Flag(name: [.customShort("i"), .customLong("license")], help: .hidden)
    var license = false

    @Flag(name: [.customShort("k"), .customLong("lock-memory")], help: .hidden)
    var lockMemory = false

    @Flag(name: [.customShort("d"), .customLong("daemon")], help: .hidden)
    var daemon = false

    @Flag(name: [.customShort("r"), .customLong("enable-coredumps")], help: .hidden)
    var coreDumps = false

    @Flag(name: [.customShort("S"), .customLong("enable-sasl")], help: .hidden)
    var sasl = false

    @Flag(name: [.customShort("Z"), .customLong("enable-ssl")], help: .hidden)
    var tls = false

    @Option(name: [.customShort("e", allowingJoined: true), .customLong("memory-file")], help: .hidden)
    var memoryFile: String?

    func validate() throws {
        if let problem = ExtendedOptions.parse(extended.joined(separator: ",")).problem {
            throw ValidationError(problem)
        }
        guard WireProtocol(option: wireProtocol) != nil else {
            throw ValidationError("-B \(wireProtocol): there is ascii, binary and auto")
        }
        // Whoever asks for one of these relies on it, so it must not be passed over.
        let refused: [(Bool, String)] = [
            (license, "-i: nothing to print; the licenses of the packages are in their folders under .build/checkouts"),
            (lockMemory, "-k: memory is not locked; turn swap off for the service instead"),
            (
                daemon,
                "-d: the process stays in the foreground; let systemd, or setsid with &, put it in the background"
            ),
            (coreDumps, "-r: set the core file limit with ulimit -c instead"),
            (sasl, "-S: give -Y a file of users; SASL, with the mechanism PLAIN, takes them in the binary protocol"),
            (tls, "-Z: TLS is not served; put a TLS proxy in front"),
            (memoryFile != nil, "-e: items are kept in plain memory only"),
        ]
        for (isGiven, reason) in refused where isGiven { throw ValidationError(reason) }
    }

    private var extendedOptions: ExtendedOptions {
        ExtendedOptions.parse(extended.joined(separator: ",")).options ?? ExtendedOptions()
    }
    var idleTimeoutSeconds: Int? { extendedOptions.idleTimeoutSeconds }
    var bufferMegabytes: Int? { extendedOptions.bufferMegabytes }
    var crawls: Bool { extendedOptions.crawls }

    /// A line for the log for each option that changes nothing.
    var passedOver: [String] {
        var lines: [String] = []
        if requestsPerEvent != nil { lines.append("-R changes nothing: connections take turns by bytes read") }
        if slabGrowthFactor != nil { lines.append("-f changes nothing: there are no slabs") }
        if slabMinSize != nil { lines.append("-n changes nothing: there are no slabs") }
        if napiIDs != nil { lines.append("-N changes nothing: threads take connections in turn") }
        if largePages { lines.append("-L changes nothing: the kernel decides about large pages") }
        if disableCas { lines.append("-C changes nothing: uniques cost no memory") }
        let names = extendedOptions.passedOver
        if !names.isEmpty { lines.append("-o \(names.joined(separator: ",")) changes nothing here") }
        return lines
    }
}
