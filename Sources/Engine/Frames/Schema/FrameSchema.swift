// A frame's ordered, typed, nullable columns, and their two written forms: text (`carrier:string,…`) and `Value`.

/// The type of a column. The raw values travel in partials and never change.
package enum ColumnType: UInt8, Sendable, CaseIterable {
    case int = 1
    case double = 2
    case string = 3
    case bool = 4
    /// Microseconds since 1970 UTC.
    case time = 5

    package var name: String {
        switch self {
        case .int: "int"
        case .double: "double"
        case .string: "string"
        case .bool: "bool"
        case .time: "time"
        }
    }

    package init?(name: some StringProtocol) {
        guard let type = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = type
    }
}

package struct FrameColumn: Sendable, Hashable {
    package let name: String
    package let type: ColumnType

    package init(_ name: String, _ type: ColumnType) {
        self.name = name
        self.type = type
    }
}

/// Ordered columns with distinct, non-empty names. Every column is nullable.
package struct FrameSchema: Sendable, Hashable {
    package static let columnsMax = 1024
    package static let columnNameBytesMax = 255

    package let columns: [FrameColumn]
    private let positions: [String: Int]

    package init(columns: [FrameColumn]) throws(Failure) {
        guard !columns.isEmpty else { throw Failure(.scriptError, "a frame needs at least one column") }
        guard columns.count <= Self.columnsMax else {
            throw Failure(.budgetExceeded, "\(columns.count) columns; a frame has at most \(Self.columnsMax)")
        }
        var positions: [String: Int] = [:]
        for (index, column) in columns.enumerated() {
            guard !column.name.isEmpty, column.name.utf8.count <= Self.columnNameBytesMax else {
                throw Failure(
                    .scriptError,
                    "column \(index + 1) needs a name of 1 to \(Self.columnNameBytesMax) bytes")
            }
            guard positions.updateValue(index, forKey: column.name) == nil else {
                throw Failure(.scriptError, "column '\(column.name)' appears twice")
            }
        }
        self.columns = columns
        self.positions = positions
    }

    package func index(of name: String) -> Int? { positions[name] }

    /// The names, as error messages list them.
    package var listing: String { columns.map(\.name).joined(separator: ", ") }

    package static func == (a: Self, b: Self) -> Bool { a.columns == b.columns }
    package func hash(into hasher: inout Hasher) { hasher.combine(columns) }
}

// MARK: - Text

extension FrameSchema: CustomStringConvertible {
    /// Reads `carrier:string,dep_delay:int`; the last colon of a part separates name and type.
    package init(parsing text: String) throws(Failure) {
        var columns: [FrameColumn] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let colon = part.lastIndex(of: ":") else {
                throw Failure(.scriptError, "schema: '\(part)' is not name:type, as in carrier:string,dep_delay:int")
            }
            let name = part[..<colon].trimmingSpaces
            let typeName = part[part.index(after: colon)...].trimmingSpaces
            guard let type = ColumnType(name: typeName) else {
                let known = ColumnType.allCases.map(\.name).joined(separator: ", ")
                throw Failure(
                    .scriptError, "schema: column '\(name)' has unknown type '\(typeName)'; types are \(known)")
            }
            columns.append(FrameColumn(name, type))
        }
        try self.init(columns: columns)
    }

    package var description: String { columns.map { "\($0.name):\($0.type.name)" }.joined(separator: ",") }

    /// The same columns with the types that `other` gives for them; columns only in `other` are refused.
    package func overridden(by other: FrameSchema) throws(Failure) -> FrameSchema {
        for column in other.columns where index(of: column.name) == nil {
            throw Failure(.scriptError, "schema: there is no column '\(column.name)'; there are \(listing)")
        }
        return try FrameSchema(
            columns: columns.map { FrameColumn($0.name, other.type(of: $0.name) ?? $0.type) })
    }

    private func type(of name: String) -> ColumnType? { index(of: name).map { columns[$0].type } }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        var part = self
        while part.first == " " { part.removeFirst() }
        while part.last == " " { part.removeLast() }
        return String(part)
    }
}

// MARK: - Value

extension FrameSchema {
    /// `[{name, type}, …]`
    package var value: Value {
        .array(columns.map { .object(["name": .string($0.name), "type": .string($0.type.name)]) })
    }

    package init(value: Value) throws(Failure) {
        guard case .array(let elements) = value else { throw Failure(.scriptError, "a schema is a list of columns") }
        var columns: [FrameColumn] = []
        for element in elements {
            guard let name = element["name"]?.text, let type = element["type"]?.text.flatMap({ ColumnType(name: $0) })
            else { throw Failure(.scriptError, "a column of a schema is {name, type}") }
            columns.append(FrameColumn(name, type))
        }
        try self.init(columns: columns)
    }
}
