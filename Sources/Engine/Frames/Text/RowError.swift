// What is said about a row of text that does not fit, and what to do then.

/// A row that does not fit. `line` counts from 1 over the whole input, newlines inside quotes included.
package struct RowError: Error, Sendable, Hashable, CustomStringConvertible {
    package let line: Int
    package let message: String
    /// The column with a type that would take the text, where its type is what is wrong.
    package let remedy: FrameColumn?

    package init(line: Int, _ message: String, remedy: FrameColumn? = nil) {
        self.line = line
        self.message = message
        self.remedy = remedy
    }

    init(line: Int, _ problem: RowProblem) { self.init(line: line, problem.message, remedy: problem.remedy) }

    package var description: String { "line \(line): \(message)" }

    package var failure: Failure { Failure(.wrongType, description) }
}

/// What is wrong with a row, before its line is known.
struct RowProblem: Error {
    let message: String
    var remedy: FrameColumn?

    init(_ message: String, remedy: FrameColumn? = nil) {
        self.message = message
        self.remedy = remedy
    }
}

package enum RowErrorPolicy: Sendable {
    /// The first row that does not fit ends the parsing.
    case stop
    /// Such rows are left out and counted.
    case skip
}

/// How many rows were left out, and why the first of them were.
package struct RowReport: Sendable, Equatable {
    package static let messagesMax = 5

    package private(set) var skippedRows = 0
    package private(set) var messages: [RowError] = []

    /// By column of text, the first line in which it has a number or a truth value, which has no quotes around it.
    package private(set) var unquotedLines: [Int: Int] = [:]

    package init() {}

    mutating func noteUnquoted(column: Int, line: Int) {
        if unquotedLines[column] == nil { unquotedLines[column] = line }
    }

    package mutating func skip(_ error: RowError) {
        skippedRows += 1
        if messages.count < Self.messagesMax { messages.append(error) }
    }

    package mutating func merge(_ other: RowReport) {
        skippedRows += other.skippedRows
        messages = Array((messages + other.messages).sorted { $0.line < $1.line }.prefix(Self.messagesMax))
        unquotedLines.merge(other.unquotedLines, uniquingKeysWith: min)
    }
}

/// Whole rows of text.
package struct TextBlock: Sendable, Equatable {
    package let bytes: [UInt8]
    /// The line, from 1, on which the block begins.
    package let firstLine: Int

    package init(bytes: [UInt8], firstLine: Int) {
        self.bytes = bytes
        self.firstLine = firstLine
    }
}
