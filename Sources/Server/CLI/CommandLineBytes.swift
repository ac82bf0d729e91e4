// The command line's arguments as bytes: keys, values and file names need not be UTF-8.

package enum CommandLineBytes {
    /// A byte that is no UTF-8 travels through the parsing of options as this character and its number more, which nobody
    /// assigns. Where somebody typed such a character all the same, its bytes travel so too: no two arguments become one.
    private static let strayBase: UInt32 = 0x10_FF00
    private static let strays = strayBase + 0x80...strayBase + 0xFF

    private static let raw: [[UInt8]] = CommandLine.unsafeArgv.withMemoryRebound(
        to: UnsafeMutablePointer<CChar>?.self, capacity: Int(CommandLine.argc)
    ) { arguments in
        (1..<max(1, Int(CommandLine.argc))).compactMap { index in
            arguments[index].map { Array(UnsafeRawBufferPointer(start: $0, count: length(of: $0))) }
        }
    }

    private static func length(of text: UnsafePointer<CChar>) -> Int {
        var count = 0
        while text[count] != 0 { count += 1 }
        return count
    }

    /// Without the program's name.
    static let arguments: [String] = raw.map(text)

    /// What was typed, byte for byte, for an argument or a part of one.
    package static func bytes(of argument: String) -> [UInt8] {
        argument.unicodeScalars.flatMap { scalar in
            strays.contains(scalar.value) ? [UInt8(scalar.value - strayBase)] : Array(String(scalar).utf8)
        }
    }

    /// The argument that `bytes` gives back.
    package static func text(_ bytes: [UInt8]) -> String {
        var text = String.UnicodeScalarView()
        var rest = bytes[...]
        while let first = rest.first {
            var iterator = rest.makeIterator()
            var decoder = UTF8()
            if case .scalarValue(let scalar) = decoder.decode(&iterator), !strays.contains(scalar.value) {
                text.append(scalar)
                rest = rest.dropFirst(UTF8.width(scalar))
            } else {
                text.append(Unicode.Scalar(strayBase + UInt32(first))!)
                rest = rest.dropFirst()
            }
        }
        return String(text)
    }
}
