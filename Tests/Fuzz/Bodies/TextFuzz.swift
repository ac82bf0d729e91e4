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
        return isCSV ? csv(whole, blocks) : ndjson(whole, blocks)
    }

    /// Rows that a schema was inferred from fit it, and blocks give as many rows and skipped ones as the whole.
    private static func csv(_ whole: TextBlock, _ blocks: [TextBlock]) -> String? {
        let delimiter = UInt8(ascii: ",")
        _ = DelimiterInference.delimiter(of: whole.bytes, isWhole: true)
        _ = FileKind.refusal(of: whole.bytes)
        if let (names, rest) = try? CSVReader.header(of: whole) {
            let columns = ColumnNames(header: names, rows: rest, delimiter: delimiter)
            if let schema = try? SchemaInference.csv(header: columns.header, block: rest),
                let reader = try? CSVReader(schema: schema, header: columns.header)
            {
                var (batch, report) = (ColumnBatch(schema: schema), RowReport())
                try? reader.parse(rest, onError: RowErrorPolicy.skip, into: &batch, report: &report)
                if let row = report.messages.first(where: { $0.remedy != nil }) {
                    return "a row does not fit the schema that it was inferred for: \(row)"
                }
            }
        }
        guard let schema = try? FrameSchema(parsing: "a:string,b:string"),
            let reader = try? CSVReader(schema: schema, header: ["a", "b"])
        else { return nil }
        var (batch, report) = (ColumnBatch(schema: schema), RowReport())
        try? reader.parse(whole, onError: RowErrorPolicy.skip, into: &batch, report: &report)
        var (pieces, pieceReport) = (ColumnBatch(schema: schema), RowReport())
        for block in blocks {
            try? reader.parse(block, onError: RowErrorPolicy.skip, into: &pieces, report: &pieceReport)
        }
        guard batch.rowCount == pieces.rowCount, report.skippedRows == pieceReport.skippedRows else {
            return "\(batch.rowCount) rows and \(report) whole, \(pieces.rowCount) and \(pieceReport) in blocks"
        }
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
