// Rows that come to a frame on the node that is asked, all of them or none.

import Coordination
package import Engine

extension FrameService {
    /// `{rows}`: visible to the next query. The first rows of a frame that does not exist yet give it its schema. Rows of CSV
    /// come behind a header.
    package static func append(
        _ bytes: [UInt8], _ format: RowFormat, to name: String, _ cluster: Cluster
    ) async throws(Failure) -> Value {
        let rows = try AppendedRows(bytes, format)
        var made: DefinitionID?
        await cluster.settle()
        if try find(name, cluster.readRegistry { $0 }, cluster) == nil {
            let schema = try rows.schema()
            do { made = try await create(name, schema: schema, cluster) } catch {
                guard error.reason == .wrongType else { throw error }
                await cluster.publish()  // somebody else was first, with another schema: these rows may fit it
            }
        }
        let frame = try cluster.hold(try require(name, cluster))
        let count: Int
        do throws(Failure) { count = try await append(rows, to: frame, cluster) } catch {
            if let made { await discard(name, id: made, besides: 0, cluster) }
            throw error
        }
        cluster.publishSoon()
        return .object(["rows": .int(Int64(count))])
    }

    private static func append(
        _ rows: AppendedRows, to frame: Frame, _ cluster: Cluster
    ) async throws(Failure) -> Int {
        try await cluster.engine.compute.attemptUrgent { () throws(Failure) in
            let request = StageRequest(
                load: 0, frame: frame.name, format: rows.format, header: rows.header,
                firstLine: UInt64(rows.block.firstLine), skipsBadRows: false, bytes: rows.block.bytes)
            let block = try RowBlock(
                parsing: request, schema: frame.schema, memory: cluster.engine.frames.resources.memory)
            try frame.append(block.batch)
            return block.batch.rowCount
        }
    }
}

/// Rows as they came, with the names of their columns where these stand before them.
private struct AppendedRows: Sendable {
    let format: RowFormat
    var header: [String] = []
    var block: TextBlock

    init(_ bytes: [UInt8], _ format: RowFormat) throws(Failure) {
        self.format = format
        block = TextBlock(bytes: bytes, firstLine: 1)
        guard case .delimited(let delimiter) = format else { return }
        do throws(RowError) {
            (header, block) = try CSVReader.header(of: block, delimiter: delimiter)
        } catch {
            throw error.failure
        }
    }

    func schema() throws(Failure) -> FrameSchema {
        switch format {
        case .ndjson: try SchemaInference.ndjson(block: block)
        case .delimited(let delimiter): try SchemaInference.csv(header: header, block: block, delimiter: delimiter)
        }
    }
}
