// What all shards of a node have come to together: their methods, their types, their objects.

extension Engine {
    /// The methods that were called.
    package var methodFigures: [MethodMeters.Name: MethodFigures] {
        shards.reduce(into: [:]) { $0.merge($1.objects.meters.methods, uniquingKeysWith: +) }
    }

    package var typeFigures: [String: TypeFigures] {
        shards.reduce(into: [:]) { $0.merge($1.objects.meters.types, uniquingKeysWith: +) }
    }

    /// Calls that wait for a shard's gate.
    package var callsWaiting: Int { shards.reduce(0) { $0 + $1.objects.waiting } }

    package var pinnedBytesMax: Int { configuration.objects.pinnedBytesMax * shards.count }
}
