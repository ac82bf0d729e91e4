// What is said of names with several definitions: which there are, and how to be left with one.

import Coordination
import Engine

extension RegistryReplica {
    /// Of a schema, in a message.
    private static let schemaCharactersMax = 200

    /// Only of a name that has several frames.
    static func conflict(ofFrame name: String, _ registry: Registry) -> Failure {
        guard case .conflict(let found) = registry.frame(named: name) else {
            return Failure(.conflict, "there were several frames '\(name)'; ask again")
        }
        let listing = found.map { entry in
            let schema = (try? FrameSchema(encoded: entry.schema))?.description ?? "columns that are not understood"
            let short = schema.count > schemaCharactersMax ? "\(schema.prefix(schemaCharactersMax))…" : schema
            let rows = entry.acknowledged.expectedRows
            return "\(entry.id) with \(rows) \(rows == 1 ? "row" : "rows") of \(short)"
        }
        return Failure(
            .conflict,
            "there are \(found.count) frames '\(name)', made by nodes that could not reach each other: "
                + "\(listing.joined(separator: "; ")); drop all but one of them, with get frame:drop:\(name):ID")
    }

    static func conflict(
        ofJob name: String, _ found: [DefinitionSet<DefinedJob>.Entry]
    ) -> Failure {
        let listing = found.map { "\($0.id) of \($0.definition.source.count) bytes" }
        return Failure(
            .conflict,
            "there are \(found.count) jobs '\(name)', defined by nodes that could not reach each other: "
                + "\(listing.joined(separator: "; ")); define it anew (set job:define:\(name)) or drop it "
                + "(get job:drop:\(name))")
    }
}

extension Registry {
    /// `[{kind, name, definitions: [{id, rows, columns} | {id, bytes}, …]}, …]`, for `cluster status`.
    var conflictsValue: Value {
        let (frames, jobs) = conflicts
        let ofFrames = frames.map { name in
            Value.object([
                "kind": .string("frame"), "name": .string(name),
                "definitions": .array(
                    self.frames.ids(named: name).compactMap { frame($0) }.map { entry in
                        .object([
                            "id": entry.id.value, "rows": .int(Int64(entry.acknowledged.expectedRows)),
                            "columns": Value(messagePack: entry.schema, partsMax: 1 << 13) ?? .null,
                        ])
                    }),
            ])
        }
        let ofJobs = jobs.map { name in
            Value.object([
                "kind": .string("job"), "name": .string(name),
                "definitions": .array(
                    self.jobs.ids(named: name).compactMap { self.jobs[$0] }.map { entry in
                        .object(["id": entry.id.value, "bytes": .int(Int64(entry.definition.source.count))])
                    }),
            ])
        }
        return .array(ofFrames + ofJobs)
    }
}
