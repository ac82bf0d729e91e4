// A file of rows as a load reads it: unpacked if need be, its columns known, cut into blocks of whole rows.

import Engine
import Gather

struct RowSource {
    let format: RowFormat
    /// CSV: the names in the first line.
    private(set) var header: [String] = []
    private let path: String
    private let schemaText: String?
    private let file: OpenFile
    private let unpacker: ZstdStream?
    private var splitter: RowBlockSplitter
    private var first: TextBlock?
    private var bytesRead = 0
    private var atEnd = false

    private static let readBytes = 256 << 10

    init(path: String, schemaText: String?) throws(Failure) {
        self.path = path
        self.schemaText = schemaText
        var name = path[...]
        if name.hasSuffix(".gz") {
            throw Failure(.wrongType, "\(path): gzip is not read here; unpack it, or pack it with zstd")
        }
        let isPacked = name.hasSuffix(".zst")
        if isPacked { name = name.dropLast(4) }
        if name.hasSuffix(".csv") {
            format = .csv
        } else if name.hasSuffix(".ndjson") || name.hasSuffix(".jsonl") {
            format = .ndjson
        } else {
            throw Failure(.wrongType, "\(path): the name must end in .csv, .ndjson, .csv.zst or .ndjson.zst")
        }
        file = try OpenFile(path)
        unpacker = isPacked ? ZstdStream() : nil
        splitter = RowBlockSplitter(format: format)
    }

    /// How much of the file was read; nil where its size is not known.
    var fractionRead: Double? { file.bytes > 0 ? min(1, Double(bytesRead) / Double(file.bytes)) : nil }

    /// The columns' types: inferred from the first block of rows, with those that `--schema` gives over them.
    mutating func schema() throws(Failure) -> FrameSchema {
        guard let block = try readBlock() else { throw Failure(.miss, "\(path) is empty") }
        let inferred: FrameSchema
        switch format {
        case .csv:
            let (names, rest) = try Self.onRows(path) { () throws(RowError) in try CSVReader.header(of: block) }
            header = names
            first = rest
            inferred = try SchemaInference.csv(header: names, block: rest)
        case .ndjson:
            first = block
            inferred = try SchemaInference.ndjson(block: block)
        }
        guard let schemaText else { return inferred }
        return try inferred.overridden(by: FrameSchema(parsing: schemaText))
    }

    mutating func nextBlock() throws(Failure) -> TextBlock? {
        if let block = first {
            first = nil
            if !block.bytes.isEmpty { return block }
        }
        return try readBlock()
    }

    private mutating func readBlock() throws(Failure) -> TextBlock? {
        while true {
            if let block = try nextWholeRows() { return block }
            if atEnd { return splitter.finish() }
            guard let piece = try file.read(bytesMax: Self.readBytes) else {
                atEnd = true
                do { try unpacker?.finish() } catch { throw Failure(error.reason, "\(path): \(error.message)") }
                continue
            }
            bytesRead += piece.count
            guard let unpacker else {
                splitter.append(piece)
                continue
            }
            var unpacked: [UInt8] = []
            do { try unpacker.feed(piece, into: &unpacked) } catch {
                throw Failure(error.reason, "\(path): \(error.message)")
            }
            splitter.append(unpacked)
        }
    }

    private mutating func nextWholeRows() throws(Failure) -> TextBlock? {
        do throws(RowError) { return try splitter.next() } catch {
            throw Failure(.wrongType, "\(path): \(error.description)")
        }
    }

    private static func onRows<R>(_ path: String, _ work: () throws(RowError) -> R) throws(Failure) -> R {
        do throws(RowError) { return try work() } catch { throw Failure(.wrongType, "\(path): \(error.description)") }
    }
}
