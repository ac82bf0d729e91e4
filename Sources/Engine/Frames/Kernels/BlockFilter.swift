// The filters of a plan over a block's vectors: a bit for each row that passes all of them.

// Unsafe: writes masks of a block's rows.

import CKernels

/// The filters of a plan over one piece, those left that the piece's zones do not decide.
final class BlockFilter {
    /// One of several conditions of which one must hold.
    struct Condition {
        let slot: Int
        let predicate: Predicate
        /// What a predicate about text means for codes of the shared dictionary.
        let shared: SharedText?
    }

    enum SharedText {
        case codes(Predicate)
        /// 1 for each code that passes.
        case verdicts([UInt8])
        /// The few codes that pass.
        case few([Int64])
    }

    private let clauses: [[Condition]]
    /// Three masks, one after the other.
    private let masks = BlockBuffer()
    private static let maskWords = BitPacking.blockRows / 64
    /// What text predicates say of strings that only this piece has numbered so, by clause and condition.
    private var localVerdicts: [[[UInt8]?]]

    init(clauses: [[Condition]]) {
        self.clauses = clauses
        localVerdicts = clauses.map { Array(repeating: nil, count: $0.count) }
    }

    private func mask(_ index: Int) -> UnsafeMutablePointer<UInt64> {
        masks.pointer(UInt64.self) + index * Self.maskWords
    }

    /// Selects the rows of the reader's block that pass all clauses. False when none does.
    func apply(_ reader: BlockReader) throws(Failure) -> Bool {
        let count = try count(reader)
        if count == 0 { return false }
        if count < reader.rowCount { reader.select(BlockSelection(bits: mask(0), count: count)) }
        return true
    }

    /// The rows that pass; the first mask says which.
    func count(_ reader: BlockReader) throws(Failure) -> Int {
        var count = reader.rowCount
        for index in clauses.indices {
            try evaluate(index, reader)
            count = ck_count_bits(mask(0), reader.rowCount)
            if count == 0 { return 0 }
        }
        return count
    }

    /// Takes rows that do not pass a clause out of the first mask, which the first clause makes.
    private func evaluate(_ clause: Int, _ reader: BlockReader) throws(Failure) {
        let conditions = clauses[clause]
        if clause > 0, conditions.count == 1, case .notNull = conditions[0].predicate {
            return set(try reader.nulls(conditions[0].slot), in: mask(0), to: false)
        }
        let own = mask(clause == 0 ? 0 : 1)
        for index in conditions.indices {
            let one = index == 0 ? own : mask(2)
            try evaluate(clause, index, reader, into: one)
            if index > 0 { ck_or_bits(own, one, reader.rowCount) }
        }
        if clause > 0 { ck_and_bits(mask(0), own, reader.rowCount) }
    }

    private func evaluate(
        _ clause: Int, _ index: Int, _ reader: BlockReader, into bits: UnsafeMutablePointer<UInt64>
    ) throws(Failure) {
        let slot = clauses[clause][index].slot
        let isAboutNulls: Bool? =
            switch clauses[clause][index].predicate {
            case .isNull: true
            case .notNull: false
            default: nil
            }
        if let isAboutNulls {
            _ = FilterKernel(vector: BlockVector(elements: .constant), rowCount: reader.rowCount, bits: bits)
                .fill(!isAboutNulls)
            return set(try reader.nulls(slot), in: bits, to: isAboutNulls)
        }
        let kernel = FilterKernel(vector: try reader.codes(slot), rowCount: reader.rowCount, bits: bits)
        let mayHavePassedNulls = try apply(clause, index, kernel, reader)
        if mayHavePassedNulls { set(try reader.nulls(slot), in: bits, to: false) }
    }

    private func set(_ rows: BlockPositions, in bits: UnsafeMutablePointer<UInt64>, to value: Bool) {
        for index in 0..<rows.count {
            let row = rows[index]
            let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: row)
            if value { bits[row &>> 6] |= bit } else { bits[row &>> 6] &= ~bit }
        }
    }

    private func apply(
        _ clause: Int, _ index: Int, _ kernel: FilterKernel, _ reader: BlockReader
    ) throws(Failure) -> Bool {
        guard case .text(let text) = clauses[clause][index].predicate else {
            return kernel.apply(clauses[clause][index].predicate)
        }
        if try reader.sharesDictionary(clauses[clause][index].slot) {
            switch clauses[clause][index].shared {
            case .codes(let predicate)?: return kernel.apply(predicate)
            case .verdicts(let verdicts)?: return kernel.apply(verdicts: verdicts)
            case .few(let codes)?: return kernel.apply(few: codes)
            case nil: break
            }
        }
        if let known = localVerdicts[clause][index] { return kernel.apply(verdicts: known) }
        guard let dictionary = try reader.dictionary(clauses[clause][index].slot) else {
            preconditionFailure("only strings are tested as text")
        }
        let verdicts = text.verdicts(dictionary)
        localVerdicts[clause][index] = verdicts
        return kernel.apply(verdicts: verdicts)
    }
}
