// A block of rows as text, parsed into columns: CSV or NDJSON, strict or skipping.

import Engine

struct RowBlock {
    private(set) var batch: ColumnBatch
    private(set) var report = RowReport()

    /// Lines are counted on from what the sender says, which no block brings to the end of the range.
    private static let lineMax: UInt64 = 1 << 48

    init(parsing request: StageRequest, schema: FrameSchema) throws(Failure) {
        batch = ColumnBatch(schema: schema)
        let block = TextBlock(bytes: request.bytes, firstLine: Int(min(request.firstLine, Self.lineMax)))
        let policy: RowErrorPolicy = request.skipsBadRows ? .skip : .stop
        switch request.format {
        case .delimited(let delimiter):
            let reader = try CSVReader(schema: schema, header: request.header, delimiter: delimiter)
            do throws(RowError) {
                try reader.parse(block, onError: policy, into: &batch, report: &report)
            } catch {
                throw Self.failure(error, request)
            }
        case .ndjson:
            let reader = NDJSONReader(schema: schema)
            do throws(RowError) {
                try reader.parse(block, onError: policy, into: &batch, report: &report)
            } catch {
                throw Self.failure(error, request)
            }
        }
    }

    /// Who loads a file can say what a column is; who appends rows to a frame can't any more.
    private static func failure(_ error: RowError, _ request: StageRequest) -> Failure {
        guard request.load != 0, let column = error.remedy else { return error.failure }
        return Failure(.wrongType, "\(error); --schema '\(column.name):\(column.type.name)' would take it")
    }
}
