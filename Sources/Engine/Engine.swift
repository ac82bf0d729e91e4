// One node's data and compute. It knows no socket and no other node.

package struct EngineConfiguration: Sendable {
    package var environment: any Environment = SystemEnvironment()
    package var placement = KeyPlacement()
    package var shards: Int
    package var computeThreads: Int
    /// Those that serve clients: as many may read from one shard at a time.
    package var servingThreads = 1
    /// A writer has to wait for each, which costs about a tenth of a microsecond: threads beyond these share.
    static let readersMax = 4
    /// For items and objects, over all shards.
    package var memoryBytes: Int
    package var itemBytesMax: Int
    package var evicts: Bool
    /// Values that stay are compressed.
    package var compresses: Bool
    /// What one method may use, in instructions.
    package var methodInstructionsMax = 10_000_000
    /// For frames, over all shards. Nothing in a frame is ever evicted: a write beyond this fails.
    package var frameMemoryBytes: Int
    /// For the scripts of all jobs under way.
    package var scriptMemoryBytes = 256 << 20
    package var objectTypes: ObjectTypes
    /// The scripts that they came of.
    package var scripts: [ObjectScript] = []
    /// Takes methods and jobs that took long.
    package var slow = SlowLog()
    /// Items that go, jobs that end.
    package var events = NodeEvents()
    /// Takes errors of methods and jobs.
    package var errors = ScriptErrors()
    /// Takes what types say with `log` and `print`, at a bounded rate.
    package var scriptLog: @Sendable (String) -> Void = { _ in }

    package init(
        shards: Int = 2, computeThreads: Int = 2, memoryBytes: Int = 64 << 20, itemBytesMax: Int = 1 << 20,
        evicts: Bool = true, compresses: Bool = true, frameMemoryBytes: Int = 1 << 30,
        objectTypes: ObjectTypes = .builtIn
    ) {
        self.shards = shards
        self.computeThreads = computeThreads
        self.memoryBytes = memoryBytes
        self.itemBytesMax = itemBytesMax
        self.evicts = evicts
        self.compresses = compresses
        self.frameMemoryBytes = frameMemoryBytes
        self.objectTypes = objectTypes
    }

    /// What is left of the memory for the stores, all shards together: connections, threads and scripts have to live
    /// within it too. memcached's -m leaves them out, and so its process is larger than -m says.
    var itemMemoryBytes: Int { Self.itemMemoryBytes(of: memoryBytes) }

    package static func itemMemoryBytes(of memoryBytes: Int) -> Int {
        memoryBytes - min(memoryBytes / 64 * 10, 10 << 20)
    }

    /// Live objects may take an eighth of a shard's memory; beyond that they are items, encoded in the store. Those of
    /// pinned types stay live: they may take half.
    var objects: ObjectHostConfiguration {
        var objects = ObjectHostConfiguration()
        objects.liveBytesMax = max(4 << 20, memoryBytes / shards / 8)
        objects.indexBytesMax = max(1 << 20, objects.liveBytesMax / 2)
        objects.shelfBytesMax = itemBytesMax
        objects.pinnedBytesMax = max(2 << 20, memoryBytes / shards / 2)
        objects.memoryBytesMax = max(objects.memoryBytesMax, objects.pinnedBytesMax / 4 * 5 + 16 << 20)
        objects.instructionsMax = methodInstructionsMax
        objects.slow = slow
        objects.errors = errors
        objects.environment = environment
        return objects
    }
}

package final class Engine: Sendable {
    package let configuration: EngineConfiguration
    package let shards: [Shard]
    /// The shards' items, for who has no other business with a shard.
    package let stores: ItemStores
    package let frames: FrameCatalog
    package let compute: ComputePool
    package let jobStates: JobStates
    /// Whose turn it is among the scripts of jobs.
    package let jobScripts: ScriptAdmission
    package let catalog: TypeCatalog
    /// The shards' objects, for calls that are answered at once.
    package let objects: ObjectHosts
    package let lowLevel: LowLevelHost
    package let flush: NodeFlush
    private let scriptLog: ScriptLog

    package init(_ configuration: EngineConfiguration = EngineConfiguration()) {
        self.configuration = configuration
        let environment = configuration.environment
        let compute = ComputePool(width: configuration.computeThreads, givesWay: true, environment: environment)
        // Clients wait for methods that take long, and for those behind them: a scan must not hold them up.
        let scripts = ComputePool(
            width: configuration.computeThreads, name: "scripts", environment: environment)
        var items = ItemStoreConfiguration(
            memoryBytes: configuration.itemMemoryBytes / configuration.shards,
            itemBytesMax: configuration.itemBytesMax, evicts: configuration.evicts,
            compresses: configuration.compresses, background: { compute.submit($0) })
        items.environment = environment
        items.events = configuration.events
        items.readers = min(configuration.servingThreads, EngineConfiguration.readersMax)
        let scriptLog = ScriptLog(environment, configuration.scriptLog)
        self.scriptLog = scriptLog
        var objects = configuration.objects
        objects.log = { scriptLog.say($0) }
        shards = (0..<configuration.shards).map { [objects] in
            Shard(
                index: $0, items: items, types: configuration.objectTypes, objects: objects, compute: scripts)
        }
        stores = ItemStores(shards.map(\.items))
        flush = NodeFlush(shards: shards, environment: environment)
        self.objects = ObjectHosts(shards.map(\.objects))
        self.compute = compute
        jobStates = JobStates(memory: ScriptMemory(limitBytes: configuration.scriptMemoryBytes))
        jobScripts = ScriptAdmission(pool: compute)
        catalog = TypeCatalog(configuration.objectTypes, scripts: configuration.scripts)
        lowLevel = LowLevelHost(
            configuration.objectTypes.handlers,
            services: NodeItems(
                stores: stores, placement: configuration.placement, environment: environment,
                logs: { scriptLog.say($0) }),
            compute: scripts)
        frames = FrameCatalog(
            shardCount: configuration.shards,
            resources: FrameResources(
                memory: FrameMemory(limitBytes: configuration.frameMemoryBytes),
                cache: ColumnCache(clock: { environment.unixSeconds }), environment: environment))
    }

    package var objectTypes: ObjectTypes { catalog.current }

    /// Takes these scripts in place of those in use; see `TypeCatalog.reload`.
    package func reload(_ scripts: [ObjectScript]) -> ScriptReport {
        catalog.reload(scripts) { types in
            let before = catalog.current
            for shard in shards {
                shard.objects.install(types) { [log = configuration.scriptLog] failures in
                    for failure in failures { log("a type stays as it was on a shard: \(failure)") }
                }
            }
            if before.handlers != types.handlers { lowLevel.install(types.handlers) }
        }
    }

    /// The shard that owns keys of this hash.
    package func shard(forHash hash: UInt64) -> Shard {
        shards[stores.index(ofHash: hash)]
    }
}
