// A file of rows as a load reads it: unpacked if need be, its columns known, cut into blocks of whole rows.

import Engine
import Gather

struct RowSource {
    let format: RowFormat
    /// CSV: the columns in their order in the file.
    private(set) var header: [String] = []
    /// What was assumed about a file that is not plain CSV, for people.
    private(set) var notes: [String] = []
    private let path: String
    private let schemaText: String?
    private let file: OpenFile
    private let unpacker: ZstdStream?
    private var splitter: RowBlockSplitter
    private var first: TextBlock?
    private var bytesRead = 0
    private var atEnd = false

    private static let readBytes = 256 << 10

    /// Opens the file and looks at its beginning. `delimiter`: what stands between fields, found out unless given.
    init(path: String, schemaText: String?, delimiter: UInt8? = nil) throws(Failure) {
        self.path = path
        self.schemaText = schemaText
        let name = try FileName(path)
        file = try OpenFile(path)
        var head = try Self.piece(of: file) ?? []
        bytesRead = head.count
        guard !head.isEmpty else { throw Failure(.miss, "\(path) is empty", about: .named(path)) }
        let isPacked = name.isPacked || head.starts(with: FileKind.zstd)
        unpacker = isPacked ? ZstdStream() : nil
        if isPacked { head = try Self.unpack(head, unpacker, path) }
        while head.count < DelimiterInference.sampleBytes {
            guard let piece = try Self.piece(of: file) else {
                atEnd = true
                break
            }
            bytesRead += piece.count
            head += isPacked ? try Self.unpack(piece, unpacker, path) : piece
        }
        if let refusal = FileKind.refusal(of: Array(head.prefix(DelimiterInference.sampleBytes))) {
            throw Failure(.wrongType, "\(path): \(refusal)", about: .named(path))
        }
        if head.starts(with: [0xEF, 0xBB, 0xBF]) { head.removeFirst(3) }  // a byte order mark
        switch name.rows {
        case .ndjson: format = .ndjson
        case .delimited(let usual):
            let found = delimiter ?? usual ?? DelimiterInference.delimiter(of: head, isWhole: atEnd)
            format = .delimited(by: found)
            if found != UInt8(ascii: ","), delimiter == nil, usual == nil {
                notes.append("\(Self.named(found)) between fields")
            }
        }
        splitter = RowBlockSplitter(format: format)
        splitter.append(head)
        if atEnd { try finishUnpacking() }
    }

    /// How much of the file was read; nil where its size is not known.
    var fractionRead: Double? { file.bytes > 0 ? min(1, Double(bytesRead) / Double(file.bytes)) : nil }

    /// The columns' types: inferred from the first block of rows, with those that `--schema` gives over them.
    mutating func schema() throws(Failure) -> FrameSchema {
        guard let block = try readBlock() else { throw Failure(.miss, "\(path) is empty", about: .named(path)) }
        let inferred: FrameSchema
        switch format {
        case .delimited(let delimiter):
            if block.bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "{"),
                (try? SchemaInference.ndjson(block: block, rowsMax: 1)) != nil
            {
                throw Failure(.wrongType, "\(path): it holds NDJSON; name it .ndjson", about: .named(path))
            }
            let (names, rest) = try Self.onRows(path) { () throws(RowError) in
                try CSVReader.header(of: block, delimiter: delimiter)
            }
            let columns = ColumnNames(header: names, rows: rest, delimiter: delimiter)
            notes += columns.notes
            header = columns.header
            let rows = columns.isMadeUp ? block : rest
            first = rows
            inferred = try SchemaInference.csv(header: header, block: rows, delimiter: delimiter)
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
            guard let piece = try Self.piece(of: file) else {
                atEnd = true
                try finishUnpacking()
                continue
            }
            bytesRead += piece.count
            splitter.append(unpacker == nil ? piece : try Self.unpack(piece, unpacker, path))
        }
    }

    private static func piece(of file: OpenFile) throws(Failure) -> [UInt8]? { try file.read(bytesMax: readBytes) }

    private static func unpack(
        _ piece: [UInt8], _ unpacker: ZstdStream?, _ path: String
    ) throws(Failure) -> [UInt8] {
        var unpacked: [UInt8] = []
        do { try unpacker?.feed(piece, into: &unpacked) } catch {
            throw error.saying("\(path): \(error.message)", about: .named(path))
        }
        return unpacked
    }

    private func finishUnpacking() throws(Failure) {
        do { try unpacker?.finish() } catch {
            throw error.saying("\(path): \(error.message)", about: .named(path))
        }
    }

    private mutating func nextWholeRows() throws(Failure) -> TextBlock? {
        do throws(RowError) { return try splitter.next() } catch {
            throw Failure(.wrongType, "\(path): \(error.description)", about: .named(path))
        }
    }

    private static func onRows<R>(_ path: String, _ work: () throws(RowError) -> R) throws(Failure) -> R {
        do throws(RowError) { return try work() } catch {
            throw Failure(.wrongType, "\(path): \(error.description)", about: .named(path))
        }
    }

    private static func named(_ delimiter: UInt8) -> String {
        delimiter == UInt8(ascii: "\t") ? "tabs" : "'\(Character(Unicode.Scalar(delimiter)))'"
    }
}

/// What a file's name says about what is in it.
private struct FileName {
    enum Rows {
        /// The usual byte between fields; nil where several are usual.
        case delimited(usual: UInt8?)
        case ndjson
    }

    let rows: Rows
    let isPacked: Bool

    init(_ path: String) throws(Failure) {
        var name = path[...]
        if name.hasSuffix(".gz") {
            throw Failure(
                .wrongType, "\(path): gzip is not read here; unpack it, or pack it with zstd", about: .named(path))
        }
        isPacked = name.hasSuffix(".zst")
        if isPacked { name = name.dropLast(4) }
        if name.hasSuffix(".csv") {
            rows = .delimited(usual: nil)
        } else if name.hasSuffix(".tsv") {
            rows = .delimited(usual: UInt8(ascii: "\t"))
        } else if name.hasSuffix(".ndjson") || name.hasSuffix(".jsonl") {
            rows = .ndjson
        } else {
            throw Failure(
                .wrongType,
                "\(path): the name must end in .csv, .tsv, .ndjson or .jsonl, with or without .zst behind it",
                about: .named(path))
        }
    }
}
