// What a type's file says of its methods: the comment lines that begin with three dashes, right above a function.

/// One method, as `object:describe:TYPE` shows it.
package struct MethodDocumentation: Sendable, Equatable {
    package let name: String
    package let arguments: [String]
    /// One paragraph; empty where there is no comment.
    package let about: String

    package init(name: String, arguments: [String], about: String) {
        self.name = name
        self.arguments = arguments
        self.about = about
    }
}

/// The comments of one file, read line by line: no Lua is understood but `function Type.name(a, b)`.
package struct TypeDocumentation: Sendable {
    /// The comment that the file begins with.
    package private(set) var about = ""
    private var methods: [String: MethodDocumentation] = [:]

    package init(source: [UInt8]) {
        var comment: [Substring] = []
        var isAtTop = true
        for line in String(decoding: source, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false) {
            let text = line.drop { $0 == " " || $0 == "\t" || $0 == "\r" }
            if text.hasPrefix("--") {
                if isAtTop || text.hasPrefix("---") { comment.append(text.drop { $0 == "-" || $0 == " " }) }
                continue
            }
            if isAtTop {
                about = Self.paragraph(comment)
                isAtTop = false
            } else if let method = Self.method(text, comment) {
                methods[method.name] = method
            }
            comment = []
        }
    }

    /// What the file says of a method; its name alone where it says nothing.
    package func method(_ name: String) -> MethodDocumentation {
        methods[name] ?? MethodDocumentation(name: name, arguments: [], about: "")
    }

    private static func paragraph(_ lines: [Substring]) -> String {
        lines.map { line in
            var line = line
            while let last = line.last, last == "\r" || last == " " { line.removeLast() }
            return String(line)
        }.joined(separator: " ")
    }

    /// `function Type:name(a, b)`, `function Type.name(…)`.
    private static func method(_ line: Substring, _ comment: [Substring]) -> MethodDocumentation? {
        guard line.hasPrefix("function "), let open = line.firstIndex(of: "("),
            let close = line[open...].firstIndex(of: ")"),
            let dot = line[..<open].lastIndex(where: { $0 == ":" || $0 == "." })
        else { return nil }
        let arguments = line[line.index(after: open)..<close].split(separator: ",").map { argument in
            String(argument.filter { $0 != " " })
        }
        let name = line[line.index(after: dot)..<open].filter { $0 != " " }
        return MethodDocumentation(name: String(name), arguments: arguments, about: paragraph(comment))
    }
}
