// Rows that go for their age: chunk by chunk, but never a row that has no time to tell its age by.

import Synchronization

extension FramePart {
    /// What is to be done about a part, seen under its lock.
    private struct Retirement {
        var rows = 0
        /// Of old rows and rows without a time.
        var mixed: [FramePiece] = []
        /// To be sealed.
        var long: TailView?
    }

    /// Drops the chunks, and the tail, whose latest time, in this column, lies before `limit`; queries under way keep them.
    /// Their rows without a time go back to the tail. Answers how many rows were dropped. Chunks without any time stay. A tail
    /// whose times are further apart than `spanMax` is sealed as it is: rows must not wait for it to be full before they can
    /// go.
    func retire(column: Int, before limit: Int64, spanMax: Int64) -> Int {
        var found = state.withLock { state in
            var found = Retirement()
            state.pieces.removeAll { piece in
                guard case .chunk(let chunk) = piece, case .keys(_, let latest) = chunk.zone(column).bounds,
                    latest < limit
                else { return false }
                guard chunk.zone(column).nullCount == 0 else {
                    found.mixed.append(piece)
                    return false
                }
                found.rows += chunk.rowCount
                return true
            }
            Self.retireTail(&state, column, limit, spanMax, &found)
            state.retiredRows += found.rows
            return found
        }
        if let long = found.long { seal(long) }
        for piece in found.mixed { found.rows += dropTimes(of: piece, column) }
        return found.rows
    }

    private static func retireTail(
        _ state: inout State, _ column: Int, _ limit: Int64, _ spanMax: Int64, _ found: inout Retirement
    ) {
        guard var tail = state.tail.take() else { return }
        guard case .keys(let first, let latest) = tail.bounds(column) else {
            state.tail = tail
            return
        }
        let (span, isTooLarge) = latest.subtractingReportingOverflow(first)
        guard latest < limit || isTooLarge || span > spanMax else {
            state.tail = tail
            return
        }
        let view = tail.view()
        if latest < limit, view.columns[column].zone.nullCount == 0 {
            found.rows += view.rowCount
            return
        }
        state.pieces.append(.tail(view))
        if latest < limit { found.mixed.append(.tail(view)) } else { found.long = view }
    }

    /// Puts the rows of a piece that have no time into the tail, and drops the piece; answers how many rows are gone. What can't be
    /// read stays as it is.
    private func dropTimes(of piece: FramePiece, _ column: Int) -> Int {
        let plan = Plan(
            frame: "", filters: [Filter(schema.columns[column].name, .isNull)], rows: schema.columns.map(\.name),
            limit: Plan.rowsMax)
        let snapshot = FrameSnapshot(schema: schema, pieces: [piece], cache: resources.cache)
        var batch = ColumnBatch(schema: schema)
        do throws(Failure) {
            for row in try PlanExecutor.execute(plan, on: snapshot).partial.rows { try batch.append(row: row) }
        } catch {
            return 0
        }
        let (full, rows) = state.withLock { state -> ([TailView], Int) in
            guard let index = state.pieces.firstIndex(where: { $0.id == piece.id }) else { return ([], 0) }
            state.pieces.remove(at: index)
            let rows = piece.rowCount - batch.rowCount
            state.retiredRows += rows
            return (take(batch, &state), rows)
        }
        for view in full { seal(view) }
        return rows
    }
}
