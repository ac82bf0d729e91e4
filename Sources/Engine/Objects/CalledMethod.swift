// What was called when a method failed, as the last line of the failure's stack: a key cut short.

enum CalledMethod {
    private static let argumentsMax = 8

    /// `called as quota:addandcheck:alice:3`, and of a `set` ` <- ` with its data block.
    static func line(_ key: VirtualKey, data: [UInt8]?) -> String {
        var line = "called as \(key.type):\(key.method):\(CutText.of(key.object))"
        for argument in key.arguments.prefix(argumentsMax) { line += ":\(CutText.of(argument))" }
        if key.arguments.count > argumentsMax { line += ":…" }
        if let data { line += " <- \(CutText.of(data))" }
        return line
    }
}

extension Failure {
    /// The same failure with what was called at the end of its stack, where it has one.
    func calledAs(_ key: VirtualKey, data: [UInt8]?) -> Failure {
        stack.isEmpty ? self : with(stack: stack + [CalledMethod.line(key, data: data)])
    }
}
