// Memory that a scan reuses from piece to piece.

// Unsafe: owns raw buffers with room for one piece's rows.

/// Used by one thread at a time.
final class ScanScratch {
    static let rowsMax = FrameResources.chunkRowsMax

    /// 1 for a row that passed so far, else 0. Padded with eight bytes, so that it can be read in words.
    let mask: UnsafeMutablePointer<UInt8>
    /// The rows that passed.
    let rows: UnsafeMutablePointer<UInt32>
    /// The local group of each row that passed, and the column that is being added to it.
    let ids: UnsafeMutablePointer<UInt32>
    let columnIDs: UnsafeMutablePointer<UInt32>

    init() {
        mask = .allocate(capacity: Self.rowsMax + 8)
        rows = .allocate(capacity: Self.rowsMax)
        ids = .allocate(capacity: Self.rowsMax)
        columnIDs = .allocate(capacity: Self.rowsMax)
        mask.initialize(repeating: 0, count: Self.rowsMax + 8)
        rows.initialize(repeating: 0, count: Self.rowsMax)
        ids.initialize(repeating: 0, count: Self.rowsMax)
        columnIDs.initialize(repeating: 0, count: Self.rowsMax)
    }

    deinit {
        mask.deallocate()
        rows.deallocate()
        ids.deallocate()
        columnIDs.deallocate()
    }
}
