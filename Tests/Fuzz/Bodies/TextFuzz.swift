// Text into the readers of CSV and NDJSON: whatever comes, they answer rows or an error, the same in blocks as in one.

import Engine

enum TextFuzz {
    /// The first byte chooses the format; the second one how the input is cut.
    static func run(_ input: [UInt8]) -> String? {
        var choices = Choices(input)
        let isCSV = choices.byte() & 1 == 0
        let pieceBytes = 1 + choices.below(100)
        let text = choices.rest()
        var splitter = RowBlockSplitter(format: isCSV ? .csv : .ndjson, blockBytesTarget: 32, rowBytesMax: 4096)
        var blocks: [TextBlock] = []
        do {
            var rest = text[...]
            while !rest.isEmpty {
                splitter.append(rest.prefix(pieceBytes))
                rest = rest.dropFirst(pieceBytes)
                while let block = try splitter.next() { blocks.append(block) }
            }
            if let block = splitter.finish() { blocks.append(block) }
        } catch { return nil }
        guard blocks.flatMap(\.bytes) == text else { return "the blocks are not the text" }
        let whole = TextBlock(bytes: text, firstLine: 1)
        return isCSV ? csv(whole) : ndjson(whole, blocks)
    }

    private static func csv(_ whole: TextBlock) -> String? {
        guard let (header, rest) = try? CSVReader.header(of: whole),
            let schema = try? SchemaInference.csv(header: header, block: rest),
            let reader = try? CSVReader(schema: schema, header: header)
        else { return nil }
        var batch = ColumnBatch(schema: schema)
        var report = RowReport()
        try? reader.parse(rest, onError: RowErrorPolicy.skip, into: &batch, report: &report)
        return nil
    }

    private static func ndjson(_ whole: TextBlock, _ blocks: [TextBlock]) -> String? {
        guard let schema = try? SchemaInference.ndjson(block: whole) else { return nil }
        let reader = NDJSONReader(schema: schema)
        var (batch, report) = (ColumnBatch(schema: schema), RowReport())
        try? reader.parse(whole, onError: RowErrorPolicy.skip, into: &batch, report: &report)
        var (pieces, pieceReport) = (ColumnBatch(schema: schema), RowReport())
        for block in blocks {
            try? reader.parse(block, onError: RowErrorPolicy.skip, into: &pieces, report: &pieceReport)
        }
        return batch.rowCount == pieces.rowCount ? nil : "\(batch.rowCount) rows whole, \(pieces.rowCount) in blocks"
    }
}
