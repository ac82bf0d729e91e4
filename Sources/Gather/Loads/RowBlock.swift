// A block of rows as text, parsed into columns: CSV or NDJSON, strict or skipping.

import Engine

struct RowBlock {
    private(set) var batch: ColumnBatch
    private(set) var report = RowReport()

    /// Lines are counted on from what the sender says, which no block brings to the end of the range.
    private static let lineMax: UInt64 = 1 << 48

    /// On the account of frames for as long as the block is under way.
    private let reservation: MemoryReservation

    /// Throws too when the frame memory has no room for what the text may become: a row that names one column has a value, or
    /// none, in each.
    init(parsing request: StageRequest, schema: FrameSchema, memory: FrameMemory) throws(Failure) {
        reservation = MemoryReservation(memory)
        let lines = request.bytes.reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
        try reservation.grow(by: request.bytes.count + ColumnBatch.bytes(rows: lines, schema: schema))
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
