// What nodes tell each other of what they know, as it travels.

package import Coordination
package import Engine

extension DefinitionID {
    package var value: Value { .string(description) }

    package init?(value: Value?) {
        guard let id = value?.text.flatMap(DefinitionID.init(_:)) else { return nil }
        self = id
    }
}

extension FrameAcknowledgements {
    /// `{frame, id, rows: [[node, incarnation, rows, retired], …]}`
    package var value: Value {
        let nodes = rows.sorted { $0.key < $1.key }.flatMap { node, incarnations in
            incarnations.sorted { $0.key < $1.key }.map { incarnation, count in
                Value.array([
                    .string(node), .int(Int64(bitPattern: incarnation)), .int(Int64(count)),
                    .int(Int64(retired[node]?[incarnation] ?? 0)),
                ])
            }
        }
        return .object(["frame": .string(frame), "id": id.value, "rows": .array(nodes)])
    }

    package init?(value: Value) {
        guard let frame = value["frame"]?.text, let id = DefinitionID(value: value["id"]),
            case .array(let nodes)? = value["rows"]
        else { return nil }
        self.init(frame: frame, id: id)
        for entry in nodes {
            guard case .array(let parts) = entry, parts.count == 4, let node = parts[0].text,
                case .int(let incarnation) = parts[1], case .int(let count) = parts[2],
                case .int(let gone) = parts[3]
            else { return nil }
            // Both are counts of rows, whatever another node has made of them: their difference can't overflow.
            rows[node, default: [:]][UInt64(bitPattern: incarnation)] = max(0, Int(count))
            if gone > 0 { retired[node, default: [:]][UInt64(bitPattern: incarnation)] = Int(gone) }
        }
    }
}

extension FrameRetention {
    var value: Value {
        .array([
            .int(seconds), .string(column), .int(Int64(bitPattern: revision)), .int(Int64(bitPattern: run)),
        ])
    }

    init?(value: Value) {
        guard case .array(let parts) = value, parts.count == 4, case .int(let seconds) = parts[0],
            let column = parts[1].text, case .int(let revision) = parts[2], case .int(let run) = parts[3]
        else { return nil }
        self.init(
            seconds: seconds, column: column, revision: UInt64(bitPattern: revision), run: UInt64(bitPattern: run))
    }
}

extension SeenDefinitions {
    /// `[[run, first, last, first, last, …], …]`
    var value: Value {
        .array(
            ranges.sorted { $0.key < $1.key }.map { run, ranges in
                .array(
                    [.int(Int64(bitPattern: run))]
                        + ranges.flatMap { [.int(Int64($0.lowerBound)), .int(Int64($0.upperBound))] })
            })
    }

    /// Nil for numbers that no definition has.
    init?(value: Value) {
        guard case .array(let runs) = value else { return nil }
        self.init()
        for entry in runs {
            guard case .array(let parts) = entry, parts.count % 2 == 1, case .int(let run)? = parts.first else {
                return nil
            }
            for index in stride(from: 1, to: parts.count, by: 2) {
                guard case .int(let first) = parts[index], case .int(let last) = parts[index + 1], first >= 1,
                    first <= last, last <= Int64(DefinitionID.numberMax)
                else { return nil }
                insert(UInt64(first)...UInt64(last), run: UInt64(bitPattern: run))
            }
        }
    }
}

extension RegistryNews {
    /// `{frames: [{name, id, schema, retention}, …], jobs: [{name, id, source}, …], rows, seen}`
    package var value: Value {
        .object([
            "frames": .array(
                frames.map { entry in
                    .object([
                        "name": .string(entry.name), "id": entry.id.value, "schema": .bytes(entry.definition.schema),
                        "retention": entry.definition.retention?.value ?? .null,
                    ])
                }),
            "jobs": .array(
                jobs.map { entry in
                    .object([
                        "name": .string(entry.name), "id": entry.id.value, "source": .bytes(entry.definition.source),
                    ])
                }),
            "rows": .array(acknowledged.map(\.value)), "seen": seen.value,
        ])
    }

    package init?(value: Value) {
        guard case .array(let frames)? = value["frames"], case .array(let jobs)? = value["jobs"],
            case .array(let rows)? = value["rows"], let seen = value["seen"].flatMap(SeenDefinitions.init(value:))
        else { return nil }
        self.init(seen: seen)
        for frame in frames {
            guard let name = frame["name"]?.text, let id = DefinitionID(value: frame["id"]), seen.contains(id),
                case .bytes(let schema)? = frame["schema"]
            else { return nil }
            let retention = frame["retention"].flatMap(FrameRetention.init(value:))
            self.frames.append(
                .init(name: name, id: id, definition: FrameDefinition(schema: schema, retention: retention)))
        }
        for job in jobs {
            guard let name = job["name"]?.text, let id = DefinitionID(value: job["id"]), seen.contains(id),
                case .bytes(let source)? = job["source"]
            else { return nil }
            self.jobs.append(.init(name: name, id: id, definition: DefinedJob(source: source)))
        }
        for counts in rows {
            guard let counts = FrameAcknowledgements(value: counts) else { return nil }
            acknowledged.append(counts)
        }
    }
}

extension PeerNews.Heading {
    /// The fields of a message, beside its news.
    var pairs: [Value.Pair] {
        [
            Value.Pair(.string("run"), .int(Int64(bitPattern: run))),
            Value.Pair(.string("to"), to.map { .int(Int64(bitPattern: $0)) } ?? .null),
            Value.Pair(.string("since"), .int(Int64(bitPattern: since))),
            Value.Pair(.string("until"), .int(Int64(bitPattern: until))),
            Value.Pair(.string("heard"), .int(Int64(bitPattern: heard))),
            Value.Pair(.string("digest"), .int(Int64(bitPattern: digest))),
        ]
    }

    init?(value: Value) {
        func number(_ field: String) -> UInt64? {
            if case .int(let number)? = value[field] { UInt64(bitPattern: number) } else { nil }
        }
        guard let run = number("run"), let since = number("since"), let until = number("until"),
            let heard = number("heard"), let digest = number("digest"), since <= until
        else { return nil }
        self.init(run: run, to: number("to"), since: since, until: until, heard: heard, digest: digest)
    }
}
